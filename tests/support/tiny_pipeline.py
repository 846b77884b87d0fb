"""Two pipelines of two stages over plain text, to try the launcher on without the real stages."""

from kfp import dsl


@dsl.component(base_image="python", install_kfp_package=False)
def write_words(words: str, count: int, text: dsl.Output[dsl.Dataset], page: dsl.Output[dsl.HTML]):
    from tsa_model.progress import report

    for done in range(1, count + 1):
        report(done, count, "word", "so far so good")
    print("writing")
    with open(text.path, "w") as stream:
        stream.write(words * count)
    with open(page.path, "w") as stream:
        stream.write("<p>words</p>")
    text.metadata["key_figure"] = f"{count} copies"


@dsl.component(base_image="python", install_kfp_package=False)
def read_words(text: dsl.Input[dsl.Dataset], length: dsl.Output[dsl.Artifact], fault: str = ""):
    import os
    import signal
    import time

    with open(text.path) as stream:
        content = stream.read()
    if fault == "raise":
        try:
            {}["inner"]
        except KeyError as error:
            raise ValueError("the text is bad:\n  it says so itself") from error
    if fault == "kill":
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        print("hanging", os.getpid(), flush=True)
        time.sleep(600)
    if fault != "forget":
        with open(length.path, "w") as stream:
            stream.write(str(len(content)))


@dsl.pipeline(name="tiny")
def tiny(words: str = "abc", count: int = 2, fault: str = ""):
    write = write_words(words=words, count=count)
    read_words(text=write.outputs["text"], fault=fault)
