/** The whole surface: vol over time to expiry and distance from the forward. */

import { axis, colour, draw, drawNothing } from "./chart.js";
import { card, element } from "./element.js";
import { meshOf } from "./curves.js";
import { changed, known } from "./state.js";

let busy = false;

export function mount(root) {
  const chart = element("div", {
    class: "chart giant",
    id: "surface-chart",
    role: "img",
    "aria-label":
      "Implied vol over time to expiry and distance from the forward; the term structure tab has the numbers",
  });
  root.append(
    card(
      "Surface",
      "Implied vol, %, over time to expiry and strike, in standard deviations ln(K/F) / (ATM vol · √t) from the forward. Drag to turn.",
      chart,
    ),
  );
  return () => {
    const about = known();
    if (about.mesh?.version !== about.document.version) renew(about);
    if (about.mesh?.vol) show(chart, about);
    else drawNothing(chart, about.mesh?.error ?? "Evaluating the surface …");
  };
}

async function renew(about) {
  if (busy || !about.document.slices.some(slice => slice.parameters != null)) return;
  busy = true;
  const { version } = about.document;
  try {
    about.mesh = { ...(await meshOf(about.document)), version };
  } catch (error) {
    about.mesh = { version, error: error.message };
  } finally {
    busy = false;
    changed();
  }
}

function show(chart, { mesh, document }) {
  const days = mesh.tenors;
  const ticks = [1, 2, 7, 14, 30, 60, 90, 180, 365, 730].filter(each => each >= days[0] && each <= days.at(-1));
  const look = title => ({ ...axis(title), backgroundcolor: "rgba(0,0,0,0)", showbackground: false });
  draw(
    chart,
    [
      {
        type: "surface",
        x: mesh.distance,
        y: days,
        z: mesh.vol.map(row => row.map(vol => (vol == null ? null : 100 * vol))),
        customdata: mesh.strike,
        colorscale: "Viridis",
        showscale: true,
        contours: { z: { show: true, usecolormap: false, color: colour("--rule-strong"), width: 1 } },
        lighting: { ambient: 0.85, diffuse: 0.35, specular: 0.05, roughness: 0.9 },
        colorbar: {
          thickness: 10,
          len: 0.6,
          ticksuffix: " %",
          tickfont: { color: colour("--quiet"), size: 11 },
          outlinewidth: 0,
        },
        hovertemplate: "%{z:.2f} %<br>strike %{customdata:,.0f}<br>%{y:.1f} days<extra></extra>",
      },
    ],
    {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      showlegend: false,
      scene: {
        xaxis: look("standard deviations"),
        zaxis: { ...look("vol, %") },
        yaxis: { ...look("days"), type: "log", tickvals: ticks, ticktext: ticks.map(String) },
        aspectratio: { x: 1.4, y: 1.4, z: 0.8 },
        camera: { eye: { x: -1.35, y: -1.5, z: 0.7 }, center: { x: 0, y: 0, z: -0.2 } },
      },
    },
    document.underlying,
  );
}
