// Hatched bands behind the bars in which trades are missing; a primitive of lightweight-charts.

const STRIPE = 7; // CSS pixels between two stripes

export class Bands {
  #view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) };
  #ranges = [];
  #color = "transparent";
  #requestUpdate = () => {};

  attached({ chart, requestUpdate }) {
    this.chart = chart;
    this.#requestUpdate = requestUpdate;
  }

  detached() {
    this.#requestUpdate = () => {};
  }

  paneViews() {
    return [this.#view];
  }

  updateAllViews() {}

  /** Show bands over `[first, last]` indexes of bars. */
  set(ranges, color) {
    this.#ranges = ranges;
    this.#color = color;
    this.#requestUpdate();
  }

  #draw(target) {
    const scale = this.chart.timeScale();
    const width = scale.logicalToCoordinate(1) - scale.logicalToCoordinate(0);
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: ratio }) => {
      for (const [first, last] of this.#ranges) {
        const left = Math.round((scale.logicalToCoordinate(first) - width / 2) * ratio);
        const right = Math.round((scale.logicalToCoordinate(last) + width / 2) * ratio);
        if (right < 0 || left > bitmapSize.width) continue;
        const span = [left, 0, Math.max(right - left, 3 * ratio), bitmapSize.height];
        hatch(context, span, STRIPE * ratio, this.#color);
      }
    });
  }
}

function hatch(context, [left, top, width, height], step, color) {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = context.strokeStyle = color;
  context.globalAlpha = 0.14;
  context.fillRect(left, top, width, height);
  context.globalAlpha = 1;
  context.lineWidth = Math.max(1, step / 6);
  context.beginPath();
  // From a multiple of the step, so that the stripes of neighbours meet.
  for (let x = Math.floor((left - height) / step) * step; x < left + width; x += step) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  // A line at the foot: it is seen where a bar is too narrow for stripes.
  const foot = Math.round((step / STRIPE) * 3);
  context.fillRect(left, top + height - foot, width, foot);
  context.restore();
}
