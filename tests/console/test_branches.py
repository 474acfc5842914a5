"""The tree of a chat in memory: paths, siblings, steps and cuts, and the same in the store."""

from __future__ import annotations

import itertools
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as some

from console.chat.branches import Branches
from console.history import chats, messages, schema, turns
from console.history.turns import Bone


def tree_of(parents: list[int | None]) -> list[Bone]:
    """Bones named by number, each below one that came before it; roles alternate by depth."""
    bones: list[Bone] = []
    for number, parent in enumerate(parents):
        above = None if parent is None or not bones else bones[parent % len(bones)]
        role = "user" if above is None or above.role == "assistant" else "assistant"
        bones.append(Bone(str(number), None if above is None else above.id, role))
    return bones


some_trees = some.lists(some.none() | some.integers(0, 1000), max_size=30).map(tree_of)


@given(bones=some_trees, data=some.data())
@settings(max_examples=200, deadline=None)
def test_paths_siblings_and_cuts_agree_with_the_parents(bones: list[Bone], data: some.DataObject) -> None:
    branches = Branches(bones)
    by_id = {bone.id: bone for bone in bones}
    if not bones:
        assert (branches.leaf, branches.path()) == (None, [])
        return
    chosen = data.draw(some.sampled_from(bones))

    path = branches.path(chosen.id)
    assert path[-1] == chosen.id
    assert by_id[path[0]].parent_id is None
    assert all(by_id[low].parent_id == high for high, low in itertools.pairwise(path))
    beside = branches.siblings(chosen.id)
    assert beside == [each.id for each in bones if (each.parent_id, each.role) == (chosen.parent_id, chosen.role)]

    leaf = branches.show(chosen.id)
    assert chosen.id in branches.path()
    assert all(bone.parent_id != leaf for bone in bones)

    gone = branches.cut(chosen.id)
    assert gone == {bone.id for bone in bones if chosen.id in Branches(bones).path(bone.id)}
    left = [bone.id for bone in bones if bone.id not in gone]
    assert branches.everyone() == left
    assert branches.leaf in left or branches.leaf is None
    assert all(each in left for each in branches.path())


@given(bones=some_trees, data=some.data())
@settings(max_examples=60, deadline=None)
def test_the_store_cuts_and_shows_as_the_tree_in_memory_does(bones: list[Bone], data: some.DataObject) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN")
    schema.create(connection, 0)
    chat = chats.add(connection, 0, client="test").id
    names: dict[str, str] = {}
    for number, bone in enumerate(bones):
        parent = None if bone.parent_id is None else names[bone.parent_id]
        names[bone.id] = messages.add_question(connection, number, chat, parent, bone.id, role=bone.role)
    _, stored, _ = turns.skeleton(connection, chat)
    branches = Branches(stored, chats.get(connection, chat).active_leaf)
    for _ in range(3):
        if not (left := branches.everyone()):
            break
        chosen = data.draw(some.sampled_from(left))
        if data.draw(some.booleans()):
            assert messages.show_branch(connection, chat, chosen) == branches.show(chosen)
        else:
            branches.cut(chosen)
            assert turns.cut_branch(connection, chat, chosen) == branches.leaf
        assert [bone.id for bone in turns.skeleton(connection, chat)[1]] == branches.everyone()
        if branches.leaf is not None:
            assert [each.id for each in messages.path(connection, chat)] == branches.path()
    connection.execute("COMMIT")
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_messages_of_one_millisecond_keep_their_order() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection, 0)
    new = turns.NewChat("Ropes", "test")
    begun = [turns.begin(connection, 0, new, None, "which knot?", answers=6) for _ in range(20)]
    for chat, question, answers in begun:
        later = turns.answer(connection, 0, chat.id, question.id, 6).answers
        wanted = [question.id, *(each.id for each in (*answers, *later))]
        assert [bone.id for bone in turns.skeleton(connection, chat.id)[1]] == wanted
    connection.close()


def test_a_chat_ten_thousand_deep_is_no_matter() -> None:
    branches = Branches([Bone(str(n), None if n == 0 else str(n - 1), "user") for n in range(10_000)])

    assert len(branches.path()) == 10_000
    assert len(branches.below("0")) == 10_000
    assert branches.outline() == []
