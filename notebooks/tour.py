# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A run in a notebook
# Train a small net, look at its curves and pictures, train one of its steps again, export the net and predict with the
# file.
#
# The first cell does nothing where the package is installed. Elsewhere, as in Colab, write the address of your
# repository into it: it clones the repository and installs what is missing. It takes no `constraints.txt`, since Colab
# has a torch of its own.

# %%
import os
import subprocess
import sys
from pathlib import Path

try:
    import project
except ModuleNotFoundError:
    REPOSITORY = ""  # such as https://github.com/NAME/REPOSITORY.git
    if not REPOSITORY:
        raise
    subprocess.run(["git", "clone", REPOSITORY, "repository"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "repository[export]"], check=True)
    sys.path.insert(0, str(Path("repository").absolute()))
    import project

import numpy as np
import torch
from IPython.display import SVG, Image

from project.commands import main
from project.datasets.digits import Digits

os.chdir(Path(project.__file__).parent.parent)  # where configs/ and experiments/ are

# %% [markdown]
# ## Train
# `main` takes the words after `python cli.py`. It returns the exit code: 0 if the run ended well. A cell with
# `!python cli.py fit ...` does the same in a process of its own, so that an edited component is imported again.

# %%
RUN = "experiments/notebook"
options = ["--name", "notebook", "--trainer.max_epochs", "6", "--trainer.log_every_n_steps", "5"]
main(["fit", "--config", "configs/digits.yaml", "--replace", *options])


# %% [markdown]
# ## Curves
# `project.curves` reads TensorBoard's files: steps, values and times of each curve as arrays.


# %%
def line(steps: np.ndarray, values: np.ndarray) -> SVG:
    """Draw a curve; matplotlib does more, but is not needed."""
    x, y = ((each - each.min()) / (np.ptp(each) or 1) for each in (steps, values))
    points = " ".join(f"{10 + 460 * a:.1f},{110 - 100 * b:.1f}" for a, b in zip(x, y, strict=True))
    return SVG(
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="120">'
        f'<polyline points="{points}" fill="none" stroke="steelblue" stroke-width="2"/></svg>'
    )


curves = project.curves(RUN)
steps, values, seconds = curves["val/accuracy"]
print(sorted(curves))
print("val/accuracy", dict(zip(steps.tolist(), values.round(3).tolist(), strict=True)))
line(*curves["train/sum"][:2])

# %% [markdown]
# All runs as rows, such as for pandas (`project.runs("experiments").to_pandas()`):

# %%
for run in project.runs("experiments"):
    print(run.name, run.state, run.results)

# %% [markdown]
# ## Pictures
# The visual of the yaml draws the same validation samples in each epoch.

# %%
pictures = sorted(Path(RUN, "progress/val").glob("*.png"))
Image(filename=str(pictures[-1]))

# %% [markdown]
# ## Train a step again
# `project.replay` returns the module before a step, the batch and the seeds of the step. `run` computes the loss, with
# the bits of the run.

# %%
logged_steps, logged, _ = curves["train/sum"]
step = project.replay(RUN, int(logged_steps[3]))
loss = step.run()
print(step.step, loss.item(), float(logged[3]), step.batch["image"].shape)
assert loss.item() == logged[3]

# %% [markdown]
# The net is an ordinary one: here, the gradients of this step.

# %%
loss.backward()
gradients = {name: float(each.grad.norm()) for name, each in step.module.named_parameters() if each.grad is not None}
max(gradients, key=lambda name: gradients[name])

# %% [markdown]
# ## The trained module
# `project.load` returns it with the weights of the best checkpoint.

# %%
module = project.load(RUN)
digits = Digits(split="test")
samples = [digits[index] for index in range(100)]
targets = np.array([int(sample["label"]) for sample in samples])
with torch.no_grad():
    logits = module({"image": torch.stack([sample["image"] for sample in samples])})["logits"]
print("right:", float((logits.argmax(1).numpy() == targets).mean()))

# %% [markdown]
# ## Export and predict
# `export` checks that the file computes what the checkpoint computes. `Predictor` needs onnxruntime, and no torch; its
# inputs are files, arrays or images of Pillow.

# %%
main(["export", "--ckpt_path", RUN])

# %%
predictor = project.Predictor(f"{RUN}/export/model.onnx")
answers = predictor.predict_batch([{"image": sample["image"].numpy()} for sample in samples[:64]])
labels = np.array([int(answer["label"]) for answer in answers])
print("right:", float((labels == targets[:64]).mean()))
assert (labels == logits.argmax(1).numpy()[:64]).all()
