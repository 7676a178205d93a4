from project.registry import Registry


def test_every_room_is_whole() -> None:
    rooms = {registry.room: registry for registry in Registry.by_base.values() if registry.room}
    assert rooms.keys() == {"models", "losses", "metrics", "datasets", "transforms", "visuals", "modules"}
    for registry in rooms.values():
        registry.names()  # imports what is in the room, nothing perhaps
        assert registry.broken == {}
