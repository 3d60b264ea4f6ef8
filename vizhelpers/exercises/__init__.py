'''Exercises: an answer is checked at once, and the reason is given.

One mechanism for the whole course. A learner uses `check`, `hint`, `predict`, `quiz` and
`progress`; each returns a card that the notebook shows when the call is the last line of its cell.
Where there is something to choose, the card has buttons; a file keeps its text.

To add an exercise, write one function in the lesson's `lessons/lesson_XX.py`,

    @exercise("01.parameters")
    def parameters(answer: object) -> Outcome:
        """What is asked."""
        expected = …                        # computed, never typed in
        if number(answer) == expected:
            return right(count=expected)
        return wrong("other")

its texts in `texts/en/lesson_XX.toml`,

    [parameters]
    question = "How many …?"                # one line
    hints = ["…", "…"]                      # one to three, each more concrete
    right = "Right because … {count} …"
    wrong.other = "{given} is not it: …"    # {given} is the answer, in short

and in `tests/support/exercise_answers.py` one right answer and a wrong one for each key. Where a
function is to be written, `trials.own_function(answer, ready=("grad_cam",))` refuses one that
leaves the work to a ready one, and `trials.try_out` calls it with care.

A quiz question is texts only: `choices.a`, `choices.b`, …, the `answer`, such as "b", and a `wrong`
for each of the other choices.

A prediction is asked before a result is seen and never counts. It has `question`, `choices` and
`why`, no `answer`; which choice is right is said by what was found:

    @prediction("01.p1")
    def larger(found: float) -> str:        # or a pair: the letter, and values for `why`
        """What is asked."""
        return "a" if found > 1 else "b"

    [p1]
    question = "…"
    choices = {a = "…", b = "…"}
    why = "It was {found}, because …"

The lesson asks with `predict("01.p1")`, and after the result compares: `predict("01.p1",
found=value)`.

In all texts `code` stands between backticks, and a brace that is meant as a brace is doubled: `{{`.

Libraries are imported inside the checkers, so that asking for a hint costs nothing.
'''

from vizhelpers.exercises.checking import check, hint, quiz
from vizhelpers.exercises.predicting import predict
from vizhelpers.exercises.progress_file import progress

__all__ = ["check", "hint", "predict", "progress", "quiz"]
