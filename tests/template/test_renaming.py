"""Tests that the package is renamed, but not other uses of the same word."""

import sys

import pytest

from tests.template.conftest import ROOT

sys.path.append(str(ROOT / "scripts"))
from new_project.renaming import Renaming

RENAMING = Renaming("project", "Alpha", {"core", "models", "registry", "registry.py", "load", "__main__"})
SAME = "(the same)"


@pytest.mark.parametrize(
    ("suffix", "before", "after"),
    [
        (".py", "from project.models.mlp import MLP", "from Alpha.models.mlp import MLP"),
        (".py", "from project import load", "from Alpha import load"),
        (".py", "import project\n", "import Alpha\n"),
        (".py", "    import project  # here\r\n", "    import Alpha  # here\r\n"),
        (".py", "import project.core.data.loading", "import Alpha.core.data.loading"),
        (".py", 'patch("project.core.cli.main.x", project.load(1))', 'patch("Alpha.core.cli.main.x", Alpha.load(1))'),
        (".py", 'NAMESPACE = "project_ops"', 'NAMESPACE = "Alpha_ops"'),
        (".py", 'import project\nX = "project.things"', 'import Alpha\nX = "Alpha.things"'),
        (".py", 'name.startswith("project.")', 'name.startswith("Alpha.")'),
        (".py", "def f(project): return project.name", SAME),
        (".py", 'wandb.init(project="project", name=run.project.name)', SAME),
        (".py", "# a project. It imports nothing of this project, of project_owner or my.project.core", SAME),
        (".py", 'ROOT / "project" / "models"', SAME),
        (".yaml", "logger: {type: WandbLogger, project: project}", SAME),
        (".yaml", "net: {type: project.models.mlp.MLP}", "net: {type: Alpha.models.mlp.MLP}"),
        (".yaml", "path: project.yaml  # of the project/team", SAME),
        (".yaml", "path: /data/project/models, /project/core", SAME),
        (".yaml", "path: ../project/models, ./project/core", "path: ../Alpha/models, ./Alpha/core"),
        (".sh", 'python -c "import project; x"', 'python -c "import Alpha; x"'),
        (".sh", "python -m project.core.cli.main --project x", "python -m Alpha.core.cli.main --project x"),
        (".sh", "rm project/{core,models}/x", "rm Alpha/{core,models}/x"),
        (".ipynb", r'"    import project\n", "of a project\n"', r'"    import Alpha\n", "of a project\n"'),
        (".ipynb", r'"project.load(RUN), project.__file__\n"', r'"Alpha.load(RUN), Alpha.__file__\n"'),
        (".toml", '[project]\nname = "project"', '[project]\nname = "Alpha"'),
        (".toml", '[project.scripts]\nx = "project.core:main"', '[project.scripts]\nx = "Alpha.core:main"'),
        (".toml", "packages = ['project', \"project/*\"]", "packages = ['Alpha', \"Alpha/*\"]"),
        (".toml", '"share/project/configs"  # not the project', '"share/Alpha/configs"  # not the project'),
        (".toml", '[project.scripts]\nproject = "project.core:f"', '[project.scripts]\nAlpha = "Alpha.core:f"'),
        (".toml", 'project = "project.__main__:main"', 'Alpha = "Alpha.__main__:main"'),
        (".toml", 'dev = ["project[dev]"]  # of a project', 'dev = ["Alpha[dev]"]  # of a project'),
        (".toml", '[project.theme]\nsite_name = "x"\n[[project.theme.palette]]', SAME),
        (".toml", '[project.plugins.mkdocstrings.handlers.python.options]', SAME),
        (".ipynb", '"import project\\n",\n"project.load(1)\\n"', '"import Alpha\\n",\n"Alpha.load(1)\\n"'),
        (".ipynb", '"import project"', '"import Alpha"'),
        (".ipynb", '"from project.models.base import Model\\n"', '"from Alpha.models.base import Model\\n"'),
        (".ipynb", '"a project of yours, project.yaml"', SAME),
        (".yml", "run: python -m project fit --project x", "run: python -m Alpha fit --project x"),
        (".yml", "paths: [project/models, configs]", "paths: [Alpha/models, configs]"),
        (".yml", "project: x\nname: project", SAME),
        (".cff", "title: A project\nabstract: of this project", SAME),
        ("", 'CMD ["python", "-m", "project"]', 'CMD ["python", "-m", "Alpha"]'),
        ("", "COPY project/models .", "COPY Alpha/models ."),
        (".md", "python -m project fit, ::: project.load", "python -m Alpha fit, ::: Alpha.load"),
        (".md", "project fit --config x\nuv run project test", "Alpha fit --config x\nuv run Alpha test"),
        (".md", "a new\nproject is made. The\nproject --x", "a new\nproject is made. The\nAlpha --x"),
        (".svg", "<text>core/config</text>", SAME),
        (".md", "`project/models`, [c](project/core) are `project`", "`Alpha/models`, [c](Alpha/core) are `Alpha`"),
        (".md", "> ~/x/project.bash, y/project.fish", "> ~/x/Alpha.bash, y/Alpha.fish"),
        (".md", "in `share/project/configs`, /data/project/models", "in `share/Alpha/configs`, /data/project/models"),
        (".md", "A project of your own; org/my-project/core and project/roadmap", SAME),
        (".md", "--proj_name Lamp, cd ../Lamp/core. Lamp", "--proj_name Alpha, cd ../Alpha/core. Lamp"),
    ],
)  # fmt: skip
def test_only_the_package_is_renamed(suffix: str, before: str, after: str) -> None:
    assert RENAMING.text(before, suffix) == (before if after == SAME else after)
