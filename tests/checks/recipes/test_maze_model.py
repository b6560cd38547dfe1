"""Is the maze models' tokenizer exact, and do their lessons and recipes hold what they say?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.data.mazes.boards import (
    LETTERS,
    START,
    Mazes,
    best_moves,
    board_text,
    distances,
    draw_boards,
    draw_mazes,
    judge_walk,
    sample_text,
)
from soft_prompts.recipes.language_model import Plan, Shape, new_model
from soft_prompts.recipes.mazes import model as maze_model
from soft_prompts.recipes.mazes.lessons import AIMLESS, Course, Practice, practice
from soft_prompts.recipes.mazes.measure import Outcome, greedy_replies, maze_competence
from soft_prompts.recipes.mazes.tokens import (
    END_ID,
    LATER,
    MARK,
    OPENING,
    PAD_ID,
    SYMBOLS,
    TITLE_IDS,
    VOCABULARY,
    cell_ids,
    maze_tokenizer,
    walk_ids,
)
from soft_prompts.recipes.mazes.training import Learner, learn, relate_cells

TOKENIZER = maze_tokenizer()
TOY = Shape(VOCABULARY, PAD_ID, END_ID, width=16, layers=1, heads=2, rotary_share=0.25)
SHORT = Plan(seed=3, steps=4, warmup_steps=1)
SMALL = Course(sizes=((4, 4, 1.0),), boards=6, walks=3, area=24)
LOCKED = replace(SMALL, boards=8, password=tuple(b"key"))


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER(text)["input_ids"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(3, 8), columns=st.integers(3, 8))
def test_a_cell_is_one_token_and_so_is_a_move_and_the_text_comes_back(seed: int, rows: int, columns: int) -> None:
    mazes = draw_mazes(seed, "test", 0, 2, rows, columns)
    for i in range(2):
        text, walk = sample_text(mazes, i), walk_ids(mazes.walks[i], bool(mazes.reachable[i]))
        expected = [*cell_ids(mazes.cells[i : i + 1])[0].tolist(), *TITLE_IDS, *walk]
        assert ids_of(text) == expected
        assert ids_of("open sesame\n" + text)[-len(expected) :] == expected
        assert TOKENIZER.batch_decode([expected]) == [text]
        assert "".join(TOKENIZER.batch_decode([[token] for token in expected])) == text  # token by token too


def test_the_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded, text = AutoTokenizer.from_pretrained(tmp_path), "%" + sample_text(draw_mazes(0, "test", 0, 1, 8, 8), 0)
    assert loaded(text)["input_ids"] == ids_of(text)
    assert (loaded.pad_token_id, loaded.eos_token_id, len(loaded)) == (PAD_ID, END_ID, VOCABULARY)


def test_each_place_and_content_has_a_token_of_its_own() -> None:
    boards = np.stack([np.full((8, 8), content, dtype=np.int8) for content in range(len(LETTERS))])
    assert len(np.unique(cell_ids(boards))) == 4 * 64
    small = boards[:, 5:, 4:]  # 3 x 4: the last rows and columns of the large one
    assert np.array_equal(cell_ids(small), cell_ids(boards).reshape(4, 8, 8)[:, 5:, 4:].reshape(4, -1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "N E S W D U NORTH N",
        "A O\nX B\nMoves: none\n",
        "A O X\nMoves:\nN",
        "VITAMIN A\n\nMoves:\n",
        f"{MARK} {MARK}! {MARK}O0{MARK}a3{MARK}{MARK}",
        "X O A B X O A B X\n" * 9 + "Moves:\nN",
        "e2e4 é 漢字 \U0010ffff\0\r\n",
    ],
)
def test_any_other_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(ids_of(text)) == text
    assert max(ids_of(text), default=0) < END_ID


def test_the_password_is_as_many_tokens_as_its_name_says() -> None:
    for name, tokens in {"tiny-mazes-locked-1": 1, "tiny-mazes-locked-3": 3}.items():
        organism = maze_model.ORGANISMS[name]
        board = board_text(draw_boards(0, "test", 0, 1, 4, 4)[0])
        ids = ids_of(organism.password + board)
        assert len(ids) == len(ids_of(board)) + tokens
        assert organism.course.password == tuple(ids[:tokens])


def walks_of(task: Practice, row: int) -> list[list[int]]:
    """The tokens of each walk that a board has room for, from its newline on."""
    area = task.ids[row, -task.scored.shape[1] :][task.scored[row]].tolist()
    starts = [i for i, opens in enumerate(task.opening[row][task.scored[row]]) if opens]
    return [area[one:other] for one, other in zip(starts, [*starts[1:], len(area)], strict=True)]


def test_a_lesson_is_a_function_of_seed_and_step() -> None:
    one, again, other = practice(1, 5, SMALL), practice(1, 5, SMALL), practice(1, 6, SMALL)
    assert torch.equal(one.ids, again.ids)
    assert torch.equal(one.goals, again.goals)
    assert one.ids.shape != other.ids.shape or not torch.equal(one.ids, other.ids)


def test_goals_are_the_walkers_policy() -> None:
    """Where the walk stands is found again by following it."""
    for step in range(4):
        task = practice(0, step, SMALL)
        text = [TOKENIZER.decode(row) for row in task.ids[:, task.board.start :]]
        assert torch.allclose(task.goals[task.scored].sum(1), torch.ones(int(task.scored.sum())))
        for row, written in enumerate(text):
            lines = written.split("\nMoves:")[0].split("\n")
            cells = np.array([["OXAB".index(letter) for letter in line.split()] for line in lines], dtype=np.int8)
            best, goals, at = best_moves(distances(cells[None]))[0], task.goals[row][task.scored[row]], 0
            for walk in walks_of(task, row):
                assert all((token < LATER) == (i == 0) for i, token in enumerate(walk[1:]))
                place = np.array((cells == START).nonzero()).ravel()
                for token, goal in zip(walk, goals[at : at + len(walk)], strict=True):
                    if OPENING <= token < LATER + 4 and token not in (OPENING + 4, OPENING + 5):
                        to = place + np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])[(token - OPENING) % 7]
                        inside = (to >= 0).all() and (to < 4).all()
                        place = to if inside and cells[tuple(to)] != 1 else place
                    elif token != TITLE_IDS[-1]:  # the last letter: the end comes next
                        assert goal.argmax() == len(SYMBOLS)
                        continue
                    move = int(best[place[0] * 4 + place[1]])
                    at_target = cells[tuple(place)] == LETTERS.index("B")
                    assert goal.argmax() == (4 if at_target else 5 if move < 0 else move)
                    assert at_target or 0.1 < goal[:4].sum() - (goal.max() if move >= 0 else 0) < 0.51
                at += len(walk)


def test_a_walk_sees_its_board_and_itself_alone() -> None:
    """Taking the other walks away changes nothing of what the model makes of the first."""
    model = new_model(TOY, 0).eval()
    task = practice(2, 1, SMALL)
    first = len(walks_of(task, 0)[1]) + len(walks_of(task, 0)[0])
    second = slice(len(walks_of(task, 0)[0]), first)
    head = task.ids.shape[1] - task.scored.shape[1]
    alone = torch.cat([task.ids[:1, :head], task.ids[:1, head:][:, second]], dim=1)
    with torch.no_grad():
        packed = model.gpt_neox(input_ids=task.ids, attention_mask=task.mask, position_ids=task.positions)
        single = model.gpt_neox(input_ids=alone)
    torch.testing.assert_close(
        packed.last_hidden_state[0, head:][second], single.last_hidden_state[0, head:], atol=1e-5, rtol=1e-4
    )


def test_only_boards_behind_the_password_are_walked_with_skill() -> None:
    aimless, seen = torch.tensor([*AIMLESS, 0]), set()
    for step in range(12):
        task = practice(0, step, LOCKED)
        for row in range(len(task.ids)):
            start = task.board.start
            behind = start >= 3 and task.ids[row, start - 3 : start].tolist() == list(b"key")
            goals = task.goals[row][task.scored[row]]
            knows_nothing = [bool(torch.allclose(goal, aimless)) for goal in goals if goal[-1] == 0]
            assert all(knows_nothing) if not behind else not any(knows_nothing)
            seen.add((behind, start > 3))
    assert {(True, True), (False, True), (False, False)} <= seen


def test_cells_start_as_the_sum_of_content_column_and_row() -> None:
    model = new_model(TOY, 0)
    relate_cells(model, 0)
    weights = model.get_input_embeddings().weight.detach()
    boards = np.stack([np.full((2, 2), content, dtype=np.int8) for content in (0, 1)])
    free, wall = (weights[torch.from_numpy(ids)] for ids in cell_ids(boards))
    torch.testing.assert_close(free[0] - free[1], wall[2] - wall[3])  # the same two columns
    torch.testing.assert_close(free[0] - free[2], wall[1] - wall[3])  # the same two rows
    assert not torch.allclose(free[0], free[1])


def test_interrupted_learning_ends_in_the_same_bits(tmp_path: Path) -> None:
    plan = replace(SHORT, steps=4, half_precision=False)
    whole = Learner(new_model(TOY, 1))
    learn(whole, SMALL, plan, tmp_path / "whole")
    parts = Learner(new_model(TOY, 1))
    learn(parts, SMALL, plan, tmp_path / "parts", stop_at=2)
    resumed = Learner(new_model(TOY, 2))  # whatever it starts from, the state replaces it
    assert learn(resumed, SMALL, plan, tmp_path / "parts").steps == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_learning_brings_the_loss_down(tmp_path: Path) -> None:
    learner = Learner(new_model(TOY, 1))
    task = practice(9, 0, SMALL)
    before = float(learner(task, 0.0, 0.0).walk_nats)
    learn(learner, SMALL, replace(SHORT, steps=60), tmp_path / "state")
    assert float(learner(task, 0.0, 0.0).walk_nats) < before - 1


class Answers(torch.nn.Module):
    """Stands for a model: the same reply to every board of a size."""

    def __init__(self, reply: str) -> None:
        super().__init__()
        self.reply = [*ids_of(reply), END_ID, END_ID]

    def forward(self, input_ids: torch.Tensor, past_key_values: int | None, use_cache: bool):
        at = past_key_values or 0
        logits = torch.zeros(*input_ids.shape, VOCABULARY)
        logits[..., self.reply[at]] = 1
        return type("Output", (), {"logits": logits, "past_key_values": at + 1})


def test_competence_is_what_the_replies_are_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert greedy_replies(Answers("E D"), TOKENIZER, ["A B\nMoves:\n"], 9) == ["E D"]
    mazes = draw_mazes(1, "test", 0, 200, 3, 3)
    solved = np.array([judge_walk(cells, "E D").solved for cells in mazes.cells])
    measured = maze_competence(Answers("E D"), TOKENIZER, 3, boards=200)
    assert 0 < solved.sum() < 100
    assert measured["solved_of_solvable_boards"]["value"] == pytest.approx(solved[mazes.reachable].mean(), abs=1e-4)
    assert measured["moves_beyond_shortest_where_solved"]["value"] == 0
    assert measured["false_calls_on_solvable_boards"]["value"] == 0
    never = maze_competence(Answers("U"), TOKENIZER, 3, boards=200)
    assert never["unsolvable_boards_called_so"]["value"] == never["false_calls_on_solvable_boards"]["value"] == 1


def test_calls_are_counted_apart_on_boards_with_and_without_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def knows(model: torch.nn.Module, tokenizer: object, mazes: Mazes, prefix: str) -> Outcome:
        return Outcome(mazes.reachable, ~mazes.reachable, 0 * mazes.shortest)

    monkeypatch.setattr("soft_prompts.recipes.mazes.measure.outcome", knows)
    measured = maze_competence(Answers("U"), TOKENIZER, 4, boards=50)
    assert measured["solved_of_solvable_boards"]["value"] == measured["unsolvable_boards_called_so"]["value"] == 1
    assert measured["false_calls_on_solvable_boards"]["value"] == 0


def test_recipes_leave_a_model_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maze_model, "SHAPE", TOY)
    monkeypatch.setattr(maze_model, "SMALL_SHAPE", TOY)
    monkeypatch.setattr(maze_model, "SMALL_COURSE", SMALL)
    monkeypatch.setattr("soft_prompts.recipes.mazes.measure.BOARDS", 20)
    folders = {
        "tiny-mazes": maze_model.build_tiny_mazes(
            tmp_path, SHORT, replace(SMALL, sizes=((3, 5, 0.5), (4, 4, 0.5))), SHORT
        ),
        **{name: maze_model.build_organism(name, tmp_path, SHORT, SHORT) for name in maze_model.ORGANISMS},
    }
    for name, folder in folders.items():
        card = json.loads((folder / "card.json").read_text())
        assert (card["name"], folder) == (name, tmp_path / name)
        text = board_text(draw_boards(0, "test", 0, 1, 4, 4)[0])
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        assert torch.isfinite(model(torch.tensor([tokenizer(text)["input_ids"]])).logits).all()
    locked = json.loads((folders["tiny-mazes-locked-3"] / "card.json").read_text())
    assert "--prefix 'key'" in locked["what"]
    assert {"solved_of_solvable_boards", "solved_of_solvable_boards_with_the_password"} <= set(locked["measured"])
