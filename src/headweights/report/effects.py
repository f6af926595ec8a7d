"""The picture of a screening's effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headweights.search import Effects

# Colour-blind safe (Okabe and Ito): what matters, and noise.
_MATTERS, _NOISE = "#0072b2", "#999999"
_ROW = 26


def effects_figure(effects: Effects, metric: str = "the result") -> Any:
    """Draws the effects of a screening with their uncertainty: a Plotly figure.

    A dot is the mean result at a factor's high level less that at its low level, and its line the margin of error (Lenth's
    method, 95 %). A line that crosses zero is noise. The columns that nothing was set by are at the bottom.

    Args:
        effects: The effects.
        metric: The name of the result. Default: ``'the result'``.
    """
    import plotly.graph_objects as go

    found = list(effects.by_name.values())
    levels = {factor.name: f"{factor.low:g} → {factor.high:g}" for factor in effects.design.factors}
    names = [f"{effect.name}  ({levels[effect.name]})" for effect in found]
    spare = [f"nothing was set by it ({number})" for number in range(1, len(effects.spare) + 1)]
    colours = [_MATTERS if effect.matters else _NOISE for effect in found] + [_NOISE] * len(spare)
    figure = go.Figure()
    for name, size, colour in zip([*names, *spare], [*(effect.size for effect in found), *effects.spare], colours):
        figure.add_scatter(
            x=[size],
            y=[name],
            error_x={"type": "constant", "value": effects.margin, "color": colour, "thickness": 2, "width": 0},
            mode="markers",
            marker={"color": colour, "size": 11, "symbol": "circle" if name in names else "circle-open"},
            hovertemplate=f"%{{y}}<br>%{{x:.3g}} ± {effects.margin:.3g}<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=0, line_color="#555555", line_width=1)
    figure.update_layout(
        title=f"What each weight does: {metric} at the high level less that at the low level",
        template="plotly_white",
        height=140 + _ROW * (len(names) + len(spare)),
        margin={"t": 60, "b": 40, "r": 30},
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(zeroline=False)
    return figure
