"""Callbacks of your own. A file here with a registered class is all it takes.

What a callback counts or collects belongs in its `state_dict`, else it is lost at a resume. An argument `run_directory`
receives the run directory.

Example::

    @CALLBACK_REGISTRY.register()
    class BatchCounter(Callback):
        def __init__(self) -> None:
            self.count = 0

        def on_train_batch_end(self, *_: object) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.count = state_dict["count"]
"""
