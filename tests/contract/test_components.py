"""Each package of components can be imported."""

from project.registry import Registry


def test_every_package_can_be_imported() -> None:
    registries = {registry for registry in Registry.by_base.values() if registry.package}  # two of them for modules
    assert {registry.package for registry in registries} == {
        "models",
        "losses",
        "metrics",
        "datasets",
        "transforms",
        "visuals",
        "modules",
        "callbacks",
    }
    for registry in registries:
        registry.names()  # imports all modules of the package
        assert registry.import_errors == {}
