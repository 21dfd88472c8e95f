"use strict";
// The replay: plays the episodes that stand in the page's JSON block "films". Nothing is fetched, nothing is evaluated,
// text of records is only ever set as text.
(() => {
  const WIDTH = {uint8: 1, int8: 1, int16: 2, int32: 4, float32: 4};
  const VIEWS = {uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, float32: Float32Array};
  const HEADINGS = ["↑", "→", "↓", "←"];
  const LISTED = 20; // influential moments on the page; what is recorded of others is shown where one passes them
  const ROWS = 64; // alternatives in a table; what was chosen is always among them

  const make = (tag, options = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const number = (value) => (Math.abs(value) >= 1e5 ? value.toExponential(2) : String(Number(value.toPrecision(5))));
  const small = (nats) => (!nats || Math.abs(nats) >= 0.1 ? nats.toFixed(3) : Math.abs(nats) < 1e-4 ? nats.toExponential(1) : String(Number(nats.toPrecision(2))));
  // A text of the page, if it is another than the one that stands there.
  const tell = (element, text) => {
    if (element.told !== text) element.textContent = element.told = text;
  };
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- an episode

  async function inflate(film) {
    const packed = Uint8Array.from(atob(film.bytes), (mark) => mark.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const arrays = {};
    for (const [name, {type, size, at}] of Object.entries(film.arrays)) {
      const width = WIDTH[type], plain = new Uint8Array(size * width);
      for (let plane = 0; plane < width; plane++)
        for (let i = 0; i < size; i++) plain[i * width + plane] = bytes[at + plane * size + i];
      arrays[name] = new VIEWS[type](plain.buffer);
    }
    return arrays;
  }

  const undo = (differences, size) => {
    for (let i = size; i < differences.length; i++) differences[i] += differences[i - size];
    return differences;
  };

  class Film {
    constructor(film, arrays) {
      Object.assign(this, film);
      this.bytes = null;
      [this.h, this.w, this.v, this.u] = film.shape;
      this.n = film.agents.length;
      this.a = arrays;
      this.boards = undo(arrays.boards, this.h * this.w);
      if (this.forecast.kind === "before")
        this.a.views = undo(arrays.views || new Uint8Array((this.steps + 1) * this.n * this.v * this.u), this.n * this.v * this.u);
      const paint = new Uint8Array(4 * 256).fill(255);
      film.palette.forEach((colour, code) => paint.set(colour, 4 * code));
      this.paint = new Uint32Array(paint.buffer);
      this.agent = new Int16Array(256).fill(-1);
      (this.codes || []).forEach((code, k) => (this.agent[code] = this.agent[code] < 0 ? k : this.agent[code]));
      this.seen = new Uint8Array(this.v * this.u);
      this.sheets = [new Sheet(this.h, this.w), new Sheet(this.v, this.u)];
      this.tables = new Map();
      this.recorded = new Map();
      for (let m = 0; m < (arrays.recorded || []).length / 4; m++) {
        const state = arrays.recorded[4 * m] + 1;
        this.recorded.set(state, [...(this.recorded.get(state) || []), m]);
      }
      this.totals = new Float64Array((this.steps + 1) * this.n);
      for (let i = 0; i < this.steps * this.n; i++) this.totals[i + this.n] = this.totals[i] + arrays.rewards[i];
    }
    board(t) {
      return this.boards.subarray(t * this.h * this.w, (t + 1) * this.h * this.w);
    }
    place(t, k) {
      return this.codes ? this.board(t).indexOf(this.codes[k]) : -1;
    }
    // Class codes of what agent k sees in state t, until it is asked for another view.
    view(t, k) {
      const {v, u, h, w} = this, start = (t * this.n + k) * v * u;
      if (this.forecast.kind === "before") return this.a.views.subarray(start, start + v * u);
      const board = t * h * w, place = this.place(t, k), half = v >> 1, codes = this.seen;
      const top = Math.floor(place / w) - half, left = (place % w) - half;
      const quarter = this.a.headings ? this.forecast.turn[this.a.headings[t * this.n + k]] : 0;
      // Cell (r, c) of a window turned counter-clockwise by so many quarters: where it begins, a row on, a column on.
      const turned = quarter & 1, end = v - 1;
      const row = top + (quarter < 2 ? 0 : end), column = left + (quarter === 1 || quarter === 2 ? end : 0);
      const down = quarter === 0 ? 1 : -1, across = quarter < 2 ? 1 : -1;
      const [yr, yc, xr, xc] = turned ? [0, across, quarter === 1 ? -1 : 1, 0] : [down, 0, 0, across];
      for (let r = 0; r < v; r++)
        for (let c = 0; c < u; c++) {
          const y = row + yr * r + yc * c, x = column + xr * r + xc * c;
          codes[r * u + c] = y >= 0 && y < h && x >= 0 && x < w ? this.boards[board + y * w + x] : this.forecast.outside;
        }
      if (this.a.views) for (let i = 0; i < codes.length; i++) codes[i] += this.a.views[start + i];
      return codes;
    }
    influence(t, k, j) {
      return this.a.influence ? (this.a.influence[(t * this.n + k) * this.n + j] / 32767) * this.largest : 0;
    }
  }

  // ---- drawing

  // A picture of class codes, one pixel a cell.
  class Sheet {
    constructor(rows, columns) {
      this.canvas = make("canvas", {width: columns, height: rows});
      this.pen = this.canvas.getContext("2d", {willReadFrequently: true});
      this.image = this.pen.createImageData(columns, rows);
      this.cells = new Uint32Array(this.image.data.buffer);
    }
    paint(film, codes) {
      for (let i = 0; i < codes.length; i++) this.cells[i] = film.paint[codes[i]];
      this.pen.putImageData(this.image, 0, 0);
      return this.image;
    }
  }

  // Agents' marks, drawn once for a size of cells: number, and below it (in the strip) one with each heading.
  function marks(film, cell) {
    const edge = Math.ceil(cell * 0.05), side = cell + 2 * edge, strip = make("canvas", {width: side * film.n, height: side * 5});
    const context = strip.getContext("2d");
    [context.textAlign, context.textBaseline, context.font] = ["center", "middle", `bold ${Math.round(cell * 0.7)}px sans-serif`];
    for (let k = 0; k < film.n; k++)
      for (let row = 0; row < 5; row++) {
        const [red, green, blue] = film.palette[film.codes[k]];
        context.fillStyle = 0.299 * red + 0.587 * green + 0.114 * blue > 110 ? "#000" : "#fff";
        context.save();
        context.translate((k + 0.5) * side, (row + 0.5) * side);
        if (cell >= 10) context.fillText(String(k + 1), 0, cell * 0.06);
        if (row && cell >= 6) {
          context.rotate(((row - 1) * Math.PI) / 2);
          context.beginPath();
          [[-0.28, -0.36], [0, -0.54], [0.28, -0.36]].forEach(([x, y]) => context.lineTo(cell * x, cell * y));
          context.fill();
        }
        context.restore();
      }
    return {strip, edge, side};
  }

  // Class codes as cells of so many pixels, with the agents' marks: `first` is the place of agent 0's heading.
  function cells(context, film, codes, sheet, columns, cell, drawn, headings, first) {
    sheet.paint(film, codes);
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet.canvas, 0, 0, sheet.canvas.width * cell, sheet.canvas.height * cell);
    if (!drawn || cell < 6) return;
    const {strip, edge, side} = drawn;
    for (let i = 0; i < codes.length; i++) {
      const k = film.agent[codes[i]];
      if (k < 0) continue;
      const row = headings ? headings[first + k] + 1 : 0;
      context.drawImage(strip, k * side, row * side, side, side, (i % columns) * cell - edge, Math.floor(i / columns) * cell - edge, side, side);
    }
  }

  // An arrow from influencer to influenced; thicker and more opaque the more it says.
  function arrow(context, from, to, strength, colour, cell) {
    const dx = to[0] - from[0], dy = to[1] - from[1], apart = Math.hypot(dx, dy);
    if (apart < 1) return;
    // Their numbers stay readable: it begins and ends at their edges, or a little inside where they stand close.
    const gap = cell * (apart < 2.5 * cell ? 0.36 : 0.5), length = apart - 2 * gap;
    from = [from[0] + (dx / apart) * gap, from[1] + (dy / apart) * gap];
    const width = 1.5 + 5 * strength, head = 5 + 2 * width;
    context.save();
    context.translate(...from);
    context.rotate(Math.atan2(dy, dx));
    context.globalAlpha = 0.45 + 0.55 * strength;
    for (let layer = 0; layer < 2; layer++) {
      context.strokeStyle = context.fillStyle = layer ? colour : "#fff";
      context.lineWidth = width + (layer ? 0 : 2);
      context.beginPath();
      context.moveTo(0, 0);
      context.quadraticCurveTo(length / 2, -length * 0.18, length - head, -2);
      context.stroke();
      context.beginPath();
      context.moveTo(length, 0);
      context.lineTo(length - head, -2 - head / 2);
      context.lineTo(length - head, -2 + head / 2);
      context.fill();
    }
    context.restore();
  }

  // ---- one episode on the page

  class Pane {
    constructor(host) {
      this.host = host;
      this.host.replaceChildren();
    }
    show(film) {
      this.film = film;
      const {h, w, v, u} = film;
      this.cell = Math.max(2, Math.min(40, Math.floor(Math.min(900 / w, 540 / h))));
      this.small = Math.max(2, Math.floor(132 / Math.max(v, u)));
      this.map = make("canvas", {width: w * this.cell, height: h * this.cell, class: "map", role: "img"});
      this.marks = film.codes && [marks(film, this.cell), marks(film, this.small)];
      const legend = make("ul", {class: "legend"});
      const present = new Set(film.boards);
      film.classes.forEach((name, code) => {
        if (!present.has(code) || (film.codes || []).includes(code)) return;
        const swatch = make("span", {class: "swatch"});
        swatch.style.backgroundColor = `rgb(${film.palette[code]})`;
        legend.append(make("li", {}, swatch, name));
      });
      this.cards = film.agents.map((name, k) => {
        const view = make("canvas", {width: u * this.small, height: v * this.small, role: "img", "aria-label": `view of ${name}`});
        const badge = make("span", {class: "badge", text: String(k + 1)});
        badge.style.borderColor = film.colours[k];
        const lines = Array.from({length: 2 + Boolean(film.a.messages) + Boolean(film.a.influence)}, () => make("span"));
        const text = make("p", {}, ...lines.flatMap((line, i) => (i ? ["\n", line] : [line])));
        const card = make("li", {class: "card"}, view, make("div", {}, make("h4", {}, badge, name), text));
        return {view, lines, card};
      });
      const about = `${film.game} · trained for ${film.step.toLocaleString("en")} steps · seed ${film.seed}` + (film.note ? ` · ${film.note}` : "");
      this.chart = make("canvas", {class: "chart", role: "img", "aria-label": "rewards so far of each agent; marks where influence was largest; click to go there"});
      this.chart.addEventListener("click", (event) => {
        const box = this.chart.getBoundingClientRect();
        const share = (((event.clientX - box.left) / box.width) * this.wide - 44) / this.span;
        this.seek(Math.round(Math.min(1, Math.max(0, share)) * film.steps));
      });
      this.cursor = make("div", {class: "cursor"});
      const canvases = [this.map, ...this.cards.map((card) => card.view)];
      this.layers = canvases.map((canvas) => ({canvas, context: canvas.getContext("2d"), shown: true, at: ""}));
      const watch = new IntersectionObserver((entries) => {
        for (const entry of entries) this.layers[canvases.indexOf(entry.target)].shown = entry.isIntersecting;
        this.ask();
      }, {rootMargin: "300px"});
      for (const canvas of canvases) watch.observe(canvas);
      this.host.replaceChildren(
        make("h3", {text: film.name}), make("p", {class: "muted", text: about}), this.map, legend,
        make("ul", {class: "cards"}, ...this.cards.map((card) => card.card)),
        make("h4", {text: "Reward so far"}), make("div", {class: "curves"}, this.chart, this.cursor));
      this.background();
    }
    // The chart, which does not change while the episode plays: what moves over it is the cursor.
    background() {
      const {film} = this, fine = window.devicePixelRatio || 1;
      this.wide = Math.max(240, Math.min(640, this.host.clientWidth || 640));
      this.span = this.wide - 60;
      [this.chart.width, this.chart.height] = [Math.round(this.wide * fine), Math.round(170 * fine)];
      const context = this.chart.getContext("2d");
      context.scale(fine, fine);
      let low = 0, high = 0;
      for (const total of film.totals) [low, high] = [Math.min(low, total), Math.max(high, total)];
      if (high === low) high = low + 1;
      const x = (t) => this.across(t), y = (r) => 148 - (136 * (r - low)) / (high - low);
      const ink = variable("--ink");
      [context.font, context.fillStyle, context.strokeStyle] = ["11px sans-serif", variable("--muted"), variable("--line")];
      for (const level of [low, (low + high) / 2, high]) {
        context.textAlign = "right";
        context.fillText(number(level), 40, y(level) + 4);
        context.strokeRect(44, y(level), this.span, 0);
      }
      context.textAlign = "left";
      context.fillText("step 0", 44, 164);
      context.textAlign = "right";
      context.fillText(String(film.steps), 44 + this.span, 164);
      context.fillStyle = variable("--accent");
      for (const [t] of film.moments.slice(0, LISTED)) {
        context.beginPath();
        [[-4, 1], [4, 1], [0, 8]].forEach(([dx, dy]) => context.lineTo(x(t + 1) + dx, dy));
        context.fill();
      }
      const stride = Math.max(1, Math.ceil(film.steps / 1200));
      for (let k = 0; k < film.n; k++) {
        context.beginPath();
        [context.strokeStyle, context.lineWidth] = [film.colours[k], 2];
        context.setLineDash([[], [7, 3], [2, 2], [8, 2, 2, 2]][k % 4]);
        for (let t = 0; t <= film.steps; t += stride) context.lineTo(x(t), y(film.totals[t * film.n + k]));
        context.lineTo(x(film.steps), y(film.totals[film.steps * film.n + k]));
        context.stroke();
        context.fillStyle = ink;
        context.textAlign = "right";
        context.fillText(String(k + 1), this.wide - 3, y(film.totals[film.steps * film.n + k]) + 4);
      }
    }
    // Where state t stands in the chart, in the page's pixels.
    across(t) {
      return 44 + (this.span * t) / Math.max(1, this.film.steps);
    }
    draw(state, arrows, everything) {
      const {film} = this, t = Math.min(state, film.steps), {n, u, w, sheets: [board, view]} = film;
      this.layers.forEach((layer, place) => {
        const at = place || !arrows ? String(t) : `${t} with arrows`;
        if (layer.at === at || !(layer.shown || everything)) return;
        layer.at = at;
        const {context} = layer, k = place - 1;
        if (k >= 0) cells(context, film, film.view(t, k), view, u, this.small, this.marks && this.marks[1], null, 0);
        else {
          cells(context, film, film.board(t), board, w, this.cell, this.marks && this.marks[0], film.a.headings, t * n);
          if (arrows && t > 0 && film.a.influence && film.codes) this.drawArrows(context, t);
        }
      });
      this.cards.forEach(({lines}, k) => {
        const words = this.words(t, k);
        lines.forEach((line, i) => tell(line, words[i] || ""));
      });
      this.cursor.style.transform = `translateX(${(100 * (this.across(t) - 1)) / this.wide}%)`;
      this.map.setAttribute("aria-label", `map of ${film.name} in state ${t} of ${film.steps}`);
    }
    drawArrows(context, t) {
      const {film, cell} = this, {n, w} = film;
      const middle = (k) => {
        const place = film.place(t, k);
        return [((place % w) + 0.5) * cell, (Math.floor(place / w) + 0.5) * cell];
      };
      for (let k = 0; k < n; k++)
        for (let j = 0; j < n; j++) {
          const strength = k === j ? 0 : Math.sqrt(Math.max(0, film.influence(t - 1, k, j)) / (film.largest || 1));
          if (strength > 0.2) arrow(context, middle(k), middle(j), strength, film.colours[k], cell);
        }
    }
    // What stands beside the view of agent k in state t.
    words(t, k) {
      const {film} = this, {a, n} = film, at = (t - 1) * n + k;
      const heading = a.headings ? HEADINGS[a.headings[t * n + k]] + " " : "";
      if (t === 0) return [`${heading}start`, "reward 0"];
      const gain = a.rewards[at];
      const words = [heading + film.actions[a.actions[at]], `reward ${number(film.totals[t * n + k])}` + (gain ? ` (${gain > 0 ? "+" : ""}${number(gain)})` : "")];
      if (a.messages) words.push(a.messages[at] < 0 ? "silent" : `says ${a.messages[at]}`);
      if (a.influence) {
        let sum = 0;
        for (let j = 0; j < n; j++) if (j !== k) sum += film.influence(t - 1, k, j);
        words.push(`influence ${small(sum)} nats`);
      }
      return words;
    }
  }

  // ---- the counterfactual view

  // For the recorded moment of row m: what j would do given each action (or message) of k, and its marginal.
  function alternatives(film, m) {
    const [t, k, j, then] = film.a.recorded.subarray(4 * m, 4 * m + 4), size = film.actions.length;
    const spoken = film.varied === "message", symbol = (c) => (spoken ? String(c) : film.actions[c]);
    const [mine, other] = [film.agents[k], film.agents[j]];
    const chosen = (spoken ? film.a.messages : film.a.actions)[t * film.n + k];
    const followed = then < film.steps ? film.a.actions[then * film.n + j] : -1;
    const shown = Array.from({length: film.rows}, (_, c) => c).filter((c) => c < ROWS || c === chosen);
    const table = make("table", {class: "alternatives"});
    table.append(make("caption", {text: `Step ${t}: what ${other} would do in step ${then}, ` +
      (spoken ? `had ${mine} said each of ${film.rows} symbols, in %. It said “` : `for each action of ${mine}, in %. It did “`) +
      `${symbol(chosen)}”` + (followed < 0 ? "." : `, then ${other} did “${film.actions[followed]}”.`) +
      ` “On average” is over ${film.marginal === "average" ? "all steps of the episodes" : `the policy of ${mine} in its state`}.` +
      (shown.length < film.rows ? ` ${film.rows - shown.length} more are not shown.` : "")}));
    table.append(make("tr", {}, make("th", {scope: "col", text: spoken ? `had ${mine} said` : mine}), ...film.actions.map((name, b) =>
      make("th", {scope: "col", class: "what"}, make("span", {text: (b === followed ? "● " : "") + name})))));
    const row = (name, numbers, mark) => {
      const line = make("tr", {class: mark}, make("th", {scope: "row", text: name}));
      for (const q of numbers) {
        const cell = make("td", {text: String(Math.round((100 * q) / 255))});
        cell.style.setProperty("--share", String(q / 255));
        line.append(cell);
      }
      table.append(line);
    };
    for (const c of shown)
      row((c === chosen ? "● " : "") + symbol(c), film.a.conditionals.subarray((m * film.rows + c) * size, (m * film.rows + c + 1) * size), c === chosen ? "taken" : "");
    row("on average", film.a.marginals.subarray(m * size, (m + 1) * size), "average");
    return table;
  }

  // ---- the player

  class Player {
    constructor(root, films) {
      [this.root, this.films, this.loaded] = [root, films, films.map(() => null)];
      [this.state, this.playing, this.owed, this.shown] = [0, false, 0, [0, -1]];
      const choice = (label, none) => {
        const select = make("select", {"aria-label": label}, ...(none ? [make("option", {value: "-1", text: none})] : []));
        films.forEach((film, i) => select.append(make("option", {value: String(i), text: film.name})));
        select.addEventListener("change", () => this.choose(Number(this.first.value), Number(this.second.value)));
        return select;
      };
      this.first = choice("episode");
      this.second = choice("episode beside it", "nothing beside it");
      this.button = make("button", {type: "button", class: "play", text: "Play", onclick: () => this.toggle()});
      this.slider = make("input", {type: "range", min: 0, max: 0, value: 0, "aria-label": "state", oninput: () => this.seek(Number(this.slider.value))});
      this.label = make("output", {class: "label"});
      this.speed = make("select", {"aria-label": "states a second"}, ...[1, 2, 5, 10, 25, 50, 100].map((rate) => make("option", {value: rate, text: `${rate} a second`})));
      this.speed.value = "10";
      this.arrows = make("input", {type: "checkbox", checked: "", onchange: () => this.ask()});
      const jump = (text, label, way) => make("button", {type: "button", class: "jump", text, "aria-label": label, onclick: () => this.jump(way)});
      this.jumps = [jump("‹ moment", "influential moment before", -1), jump("moment ›", "next influential moment", 1)];
      this.bar = make("div", {class: "bar"}, this.button, this.slider, this.label, ...this.jumps, this.speed, this.first, this.second,
        make("label", {}, this.arrows, "influence"));
      if (films.length < 2) this.first.hidden = this.second.hidden = true;
      this.hosts = [make("section", {class: "pane"}), make("section", {class: "pane"})];
      this.panes = [null, null];
      this.moments = make("section", {class: "moments"});
      root.replaceChildren(this.bar, make("p", {class: "muted keys", text: "Keys: space plays, ← → step (with Shift 10), n and p go to influential moments, Home and End, − and + change the speed."}),
        make("div", {class: "panes"}, ...this.hosts, this.moments));
      document.addEventListener("keydown", (event) => this.key(event));
      const again = () => {
        for (const pane of this.panes) if (pane) pane.background();
        this.ask();
      };
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
      window.addEventListener("resize", again);
      window.addEventListener("beforeprint", () => this.draw(true));
    }
    async film(i) {
      this.loaded[i] ??= inflate(this.films[i]).then((arrays) => new Film(this.films[i], arrays));
      return this.loaded[i];
    }
    async choose(first, second, state = this.state) {
      this.shown = [first, second];
      [this.first.value, this.second.value] = [String(first), String(second)];
      const films = await Promise.all([first, second].map((i) => (i < 0 ? null : this.film(i))));
      films.forEach((film, side) => {
        this.hosts[side].hidden = !film;
        this.panes[side] = film ? new Pane(this.hosts[side]) : null;
        if (!film) return;
        this.panes[side].seek = (t) => this.seek(t);
        this.panes[side].ask = () => this.ask();
        this.panes[side].show(film);
      });
      this.last = Math.max(...films.map((film) => (film ? film.steps : 0)));
      this.slider.max = String(this.last);
      this.arrows.parentElement.hidden = !films.some((film) => film && film.a.influence);
      this.list(films[0]);
      this.seek(state);
      this.draw();
    }
    list(film) {
      this.alternatives = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "counterfactual view"});
      const listed = film.moments.slice(0, LISTED);
      this.stops = [...new Set(listed.map(([t]) => t + 1))].sort((a, b) => a - b);
      this.moments.hidden = !listed.length;
      for (const button of this.jumps) button.hidden = !listed.length;
      [this.told, this.current] = [null, []];
      this.none = make("p", {class: "muted", text: "No alternatives are recorded for this step; the influential moments have them."});
      this.buttons = listed.map(([t, k, j, nats]) =>
        make("button", {type: "button", "data-state": t + 1, text: `step ${t}: ${film.agents[k]} → ${film.agents[j]}, ${small(nats)} nats`, onclick: () => this.seek(t + 1)}));
      const told = film.a.recorded ? [make("h3", {text: "What would others have done?"}), this.alternatives] : [];
      this.moments.replaceChildren(...told, make("h3", {text: "Influential moments"}), make("ol", {}, ...this.buttons.map((button) => make("li", {}, button))));
    }
    // To the influential moment after (or before) this state.
    jump(way) {
      const ahead = this.stops.filter((state) => (state - this.state) * way > 0);
      if (ahead.length) this.seek(way > 0 ? ahead[0] : ahead[ahead.length - 1]);
    }
    seek(state) {
      this.state = Math.max(0, Math.min(this.last, state));
      this.ask();
    }
    // One redraw for all that happens before the next frame.
    ask() {
      this.frame ||= requestAnimationFrame(() => this.draw());
    }
    draw(everything = false) {
      cancelAnimationFrame(this.frame);
      this.frame = 0;
      if (Number(this.slider.value) !== this.state) this.slider.value = String(this.state);
      tell(this.label, `${this.state} of ${this.last}`);
      this.slider.setAttribute("aria-valuetext", `state ${this.state} of ${this.last}`);
      for (const pane of this.panes) if (pane) pane.draw(this.state, this.arrows.checked, everything);
      const film = this.panes[0] && this.panes[0].film;
      if (!film || !this.buttons || this.told === this.state) return;
      this.told = this.state;
      for (const button of this.current) button.removeAttribute("aria-current");
      this.current = this.buttons.filter((button) => Number(button.dataset.state) === this.state);
      for (const button of this.current) button.setAttribute("aria-current", "true");
      if (film.a.recorded) this.tables(film);
    }
    // What is recorded of the step that led to the state; each table is made once.
    tables(film) {
      const moments = film.recorded.get(this.state);
      if (!moments) {
        if (this.alternatives.firstChild !== this.none) this.alternatives.replaceChildren(this.none);
        return;
      }
      for (const m of moments) if (!film.tables.has(m)) film.tables.set(m, alternatives(film, m));
      this.alternatives.replaceChildren(...moments.map((m) => film.tables.get(m)));
    }
    toggle() {
      this.playing = !this.playing;
      this.button.textContent = this.playing ? "Pause" : "Play";
      if (!this.playing) return;
      if (this.state === this.last) this.seek(0);
      let before = performance.now();
      const tick = (now) => {
        if (!this.playing) return;
        this.owed += ((now - before) / 1000) * Number(this.speed.value);
        before = now;
        const whole = Math.floor(this.owed);
        this.owed -= whole;
        if (whole) this.seek(this.state + whole);
        if (this.state === this.last) return this.toggle();
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, textarea, summary, a")) return;
      if (event.key === " " && event.target.closest("button, input[type=checkbox]")) return;
      const stride = event.shiftKey ? 10 : 1, rates = [...this.speed.options].map((option) => option.value);
      const faster = (by) => (this.speed.value = rates[Math.max(0, Math.min(rates.length - 1, rates.indexOf(this.speed.value) + by))]);
      const deeds = {
        " ": () => this.toggle(), ArrowRight: () => this.seek(this.state + stride), ArrowLeft: () => this.seek(this.state - stride),
        Home: () => this.seek(0), End: () => this.seek(this.last), "+": () => faster(1), "-": () => faster(-1),
        n: () => this.jump(1), p: () => this.jump(-1),
      };
      if (!deeds[event.key] || event.target.closest("input[type=radio]")) return;
      event.preventDefault();
      deeds[event.key]();
    }
  }

  const root = document.getElementById("player");
  const films = JSON.parse(document.getElementById("films").textContent);
  if (!films.length) return;
  const player = new Player(root, films);
  const ready = player.choose(0, films.length > 1 && root.dataset.beside === "yes" ? 1 : -1, 0);
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-film]");
    if (!link) return;
    await player.choose(Number(link.dataset.film), -1, Number(link.dataset.state));
    root.scrollIntoView();
  });
  // What tests ask for: the codes and the pixels of a view.
  window.suasion = {
    player, ready,
    views: async (i, t, k) => {
      const film = await player.film(i);
      const codes = film.view(t, k);
      return {codes: [...codes], pixels: [...film.sheets[1].paint(film, codes).data]};
    },
  };
})();
