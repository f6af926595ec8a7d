"""The command line: `headweights <command>`, one module a command."""

try:
    import typer

    from headweights.check.command import check
    from headweights.demo.command import demo
    from headweights.report.command import report
    from headweights.tune.command import tune
except ModuleNotFoundError as error:
    package = str(error.name).split(".")[0]
    raise SystemExit(f"headweights: the command line needs {package}: pip install {package}") from None

app = typer.Typer(
    help="Loss weights for every image, data set and object, in every head of an object detector.", no_args_is_help=True
)
app.command()(demo)
app.command()(report)
app.command()(check)
app.command()(tune)


@app.callback()
def _commands() -> None:
    # Without a callback Typer would make the only command the program itself: `headweights --iters 3`.
    pass


def main() -> None:
    """Runs the command that the program's arguments name."""
    app()
