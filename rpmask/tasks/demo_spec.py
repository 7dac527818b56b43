"""The spec of the built-in demo task: generated sentence pairs in the manner of RTE.

Apart from the rows, so that a task's spec is known without opening the package's data.
"""

from rpmask.tasks.spec import TaskSpec

DEMO = TaskSpec(
    name="demo",
    title="Built-in demo: does the first sentence entail the second? (generated)",
    kind="classification",
    labels=("not_entailment", "entailment"),
    pair=True,
    metrics=("accuracy",),
    primary="accuracy",
)
