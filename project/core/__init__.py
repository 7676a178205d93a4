"""The engine: turns a yaml into a run. To add a component, it need not be edited.

Its packages, each of which imports only those above it (tests/core/test_imports.py):

    errors, file_names, files, log, ... what all packages share
    training.lightning_internals        private names of other packages, checked at start
    functions, importing                what the registry makes of functions and failing imports
    config                              yaml files and options, checked and typed
    distributed                         Slurm, torchrun, signals, reductions between ranks
    data                                seeds, sampling order, loading, the data module
    model                               wiring by name, metrics, optimization, the LightningModules
    training                            seeding of steps, callbacks for debugging
    evaluation                          result files, pictures, evaluation during training
    run                                 run directory, checkpoints, resume
    export                              model.onnx, the proof that it is right, exported models in stages
    cli                                 arguments, help, stages

The docstring of each package says what to read first; docs/architecture.md has a picture.
"""
