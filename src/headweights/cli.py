"""The command line: `headweights <command>`, with one module per command."""

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
for command in (demo, report, check, tune):
    app.command()(command)


def main() -> None:
    """Runs the command named on the command line."""
    app()
