"""Upload the pipeline as a new version, and run it."""

from __future__ import annotations

from typing import Any, NamedTuple

from launcher.compilation import Documents, compiled_documents
from launcher.definition import Define
from launcher.kubeflow.answers import ApiError, Json, OutcomeUnknown
from launcher.kubeflow.pending import Pending
from launcher.kubeflow.server import PipelinesServer, new_run_name
from launcher.kubeflow.versions import version_name
from launcher.stages import ClusterSettings

LOCAL_IMAGE = "localhost/"


class Submission(NamedTuple):
    """What can be sent: compiled and checked."""

    documents: Documents
    arguments: dict[str, Any]

    @classmethod
    def prepare(
        cls, define: Define, settings: ClusterSettings, image: str | None, arguments: dict[str, Any]
    ) -> Submission:
        """Compile the pipeline; nothing is sent.

        Args:
            define: the pipeline's definition.
            settings: what each stage gets.
            image: for every stage; None = as the settings say.
            arguments: checked against the pipeline's inputs.
        """
        if image is not None:
            settings = settings.changed(image=image)  # checked; replaces those of single stages below
        return cls(compiled_documents(define(settings, "kubeflow"), image), arguments)

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self.documents[0]["pipelineInfo"]["name"])

    def local_images(self) -> list[str]:
        """Images that a cluster cannot pull."""
        executors = self.documents[0]["deploymentSpec"]["executors"].values()
        images = {executor["container"]["image"] for executor in executors}
        return sorted(image for image in images if image.startswith(LOCAL_IMAGE))


def upload(server: PipelinesServer, submission: Submission) -> Json:
    """Upload a submission's pipeline as a new version, named after code and image."""
    documents = submission.documents
    description = str(documents[0]["pipelineInfo"].get("description", ""))
    return server.upload(documents, version_name(documents), description)


class Submitted(NamedTuple):
    """A run that was started."""

    version: Json
    run: Json
    earlier: bool
    """Whether an earlier try, whose answer was lost, had started it."""


def submit(
    server: PipelinesServer, submission: Submission, experiment: str, run_name: str | None
) -> Submitted:
    """Upload the pipeline and start one run of it.

    A try that ends without an answer to its request leaves a note: the next one of the same content looks
    for that run first, and starts one only if there is none.

    Args:
        server: where.
        submission: what.
        experiment: name of the experiment, which is created when it is absent.
        run_name: None = the pipeline's name and the time.

    Raises:
        ApiError: the server refuses, or does not answer.
    """
    server.check_access()
    version = upload(server, submission)
    place = server.experiment(experiment)
    pending = Pending(
        server.connection,
        version=version["name"],
        experiment=place,
        arguments=submission.arguments,
        run_name=run_name,
    )
    if (before := pending.read()) is not None:
        found = [one for one in server.runs_named(before.name, place) if one["run_id"] not in before.known]
        if found:
            pending.remove()
            return Submitted(version, found[0], earlier=True)
    name = run_name or (before.name if before else new_run_name(submission.pipeline))
    known = tuple(one["run_id"] for one in server.runs_named(name, place)) if run_name else ()
    pending.write(name, known)
    try:
        made = server.run(version, place, submission.arguments, name, known)
    except OutcomeUnknown as error:
        raise ApiError(
            f"{error}. Whether run {name!r} was started is not known: the same command, given again, looks "
            "for it and starts it only if it was not",
            error.status,
        ) from None
    except ApiError:
        pending.remove()  # refused: there is no run
        raise
    pending.remove()
    return Submitted(version, {"display_name": name} | made, earlier=False)
