"use strict";
// The replay: plays the episodes that stand in the page's JSON block "films". Nothing is fetched, nothing is evaluated,
// text of records is only ever set as text.
(() => {
  const WIDTH = {uint8: 1, int8: 1, int16: 2, int32: 4, float32: 4};
  const VIEWS = {uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, float32: Float32Array};
  const HEADINGS = ["↑", "→", "↓", "←"];
  const LISTED = 20; // influential moments on the page; what is recorded of others is shown where one passes them

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
      this.totals = new Float64Array((this.steps + 1) * this.n);
      for (let i = 0; i < this.steps * this.n; i++) this.totals[i + this.n] = this.totals[i] + arrays.rewards[i];
    }
    board(t) {
      return this.boards.subarray(t * this.h * this.w, (t + 1) * this.h * this.w);
    }
    place(t, k) {
      return this.codes ? this.board(t).indexOf(this.codes[k]) : -1;
    }
    // Class codes of what agent k sees in state t.
    view(t, k) {
      const {v, u, h, w} = this, start = (t * this.n + k) * v * u;
      if (this.forecast.kind === "before") return this.a.views.subarray(start, start + v * u);
      const board = this.board(t), place = this.place(t, k), half = v >> 1, codes = new Uint8Array(v * u);
      const top = Math.floor(place / w) - half, left = (place % w) - half;
      const quarter = this.a.headings ? this.forecast.turn[this.a.headings[t * this.n + k]] : 0;
      for (let r = 0; r < v; r++)
        for (let c = 0; c < u; c++) {
          // Cell (r, c) of a window turned counter-clockwise by so many quarters.
          const [y, x] = [[r, c], [c, v - 1 - r], [v - 1 - r, v - 1 - c], [v - 1 - c, r]][quarter];
          const row = top + y, column = left + x;
          const inside = row >= 0 && row < h && column >= 0 && column < w;
          codes[r * u + c] = inside ? board[row * w + column] : this.forecast.outside;
        }
      if (this.a.views) for (let i = 0; i < codes.length; i++) codes[i] += this.a.views[start + i];
      return codes;
    }
    influence(t, k, j) {
      return this.a.influence ? (this.a.influence[(t * this.n + k) * this.n + j] / 32767) * this.largest : 0;
    }
  }

  // ---- drawing

  const sheet = document.createElement("canvas");
  const pen = sheet.getContext("2d", {willReadFrequently: true});
  // A picture of class codes, one pixel a cell.
  function picture(film, codes, rows, columns) {
    if (sheet.width !== columns || sheet.height !== rows) [sheet.width, sheet.height] = [columns, rows];
    const image = pen.createImageData(columns, rows);
    for (let i = 0; i < codes.length; i++) {
      const colour = film.palette[codes[i]];
      image.data.set(colour, 4 * i);
      image.data[4 * i + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    return image;
  }

  function cells(canvas, film, codes, rows, columns, cell, headings) {
    const context = canvas.getContext("2d");
    picture(film, codes, rows, columns);
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet, 0, 0, columns * cell, rows * cell);
    if (!film.codes) return;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `bold ${Math.round(cell * 0.7)}px sans-serif`;
    for (let i = 0; i < codes.length; i++) {
      const k = film.codes.indexOf(codes[i]);
      if (k < 0) continue;
      const x = ((i % columns) + 0.5) * cell, y = (Math.floor(i / columns) + 0.5) * cell;
      const [red, green, blue] = film.palette[codes[i]];
      context.fillStyle = 0.299 * red + 0.587 * green + 0.114 * blue > 110 ? "#000" : "#fff";
      if (cell >= 10) context.fillText(String(k + 1), x, y + cell * 0.06);
      if (headings && cell >= 6) {
        context.save();
        context.translate(x, y);
        context.rotate((headings[k] * Math.PI) / 2);
        context.beginPath();
        context.moveTo(-cell * 0.28, -cell * 0.36);
        context.lineTo(0, -cell * 0.54);
        context.lineTo(cell * 0.28, -cell * 0.36);
        context.fill();
        context.restore();
      }
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
    const path = new Path2D();
    path.moveTo(0, 0);
    path.quadraticCurveTo(length / 2, -length * 0.18, length - head, -2);
    const tip = new Path2D(`M${length} 0L${length - head} ${-2 - head / 2}L${length - head} ${-2 + head / 2}Z`);
    for (const [style, extra] of [["#fff", 2], [colour, 0]]) {
      context.globalAlpha = 0.45 + 0.55 * strength;
      [context.strokeStyle, context.fillStyle, context.lineWidth] = [style, style, width + extra];
      context.stroke(path);
      context.fill(tip);
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
        const lines = make("p");
        const card = make("li", {class: "card"}, view, make("div", {}, make("h4", {}, badge, name), lines));
        return {view, lines, card};
      });
      const about = `${film.game} · trained for ${film.step.toLocaleString("en")} steps · seed ${film.seed}` + (film.note ? ` · ${film.note}` : "");
      this.chart = make("canvas", {class: "chart", role: "img", "aria-label": "rewards so far of each agent; marks where influence was largest; click to go there"});
      this.chart.addEventListener("click", (event) => {
        const box = this.chart.getBoundingClientRect();
        const share = (((event.clientX - box.left) / box.width) * this.wide - 44) / this.span;
        this.seek(Math.round(Math.min(1, Math.max(0, share)) * film.steps));
      });
      this.host.replaceChildren(
        make("h3", {text: film.name}), make("p", {class: "muted", text: about}), this.map, legend,
        make("ul", {class: "cards"}, ...this.cards.map((card) => card.card)),
        make("h4", {text: "Reward so far"}), this.chart);
      this.lines = this.background();
    }
    background() {
      const {film} = this, still = document.createElement("canvas"), fine = window.devicePixelRatio || 1;
      this.wide = Math.max(240, Math.min(640, this.host.clientWidth || 640));
      this.span = this.wide - 60;
      this.fine = fine;
      for (const canvas of [this.chart, still]) [canvas.width, canvas.height] = [Math.round(this.wide * fine), Math.round(170 * fine)];
      const context = still.getContext("2d");
      context.scale(fine, fine);
      let low = 0, high = 0;
      for (const total of film.totals) [low, high] = [Math.min(low, total), Math.max(high, total)];
      if (high === low) high = low + 1;
      const x = (t) => this.across(t), y = (r) => 148 - (136 * (r - low)) / (high - low);
      this.ink = variable("--ink");
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
        context.fillStyle = this.ink;
        context.textAlign = "right";
        context.fillText(String(k + 1), this.wide - 3, y(film.totals[film.steps * film.n + k]) + 4);
      }
      return still;
    }
    // Where state t stands in the chart, in the page's pixels.
    across(t) {
      return 44 + (this.span * t) / Math.max(1, this.film.steps);
    }
    draw(state, arrows) {
      const {film} = this, t = Math.min(state, film.steps), {n, h, w} = film;
      const headings = film.a.headings ? film.a.headings.subarray(t * n, (t + 1) * n) : null;
      cells(this.map, film, film.board(t), h, w, this.cell, headings);
      if (arrows && t > 0 && film.a.influence && film.codes) {
        const middle = (k) => {
          const place = film.place(t, k);
          return [((place % w) + 0.5) * this.cell, (Math.floor(place / w) + 0.5) * this.cell];
        };
        for (let k = 0; k < n; k++)
          for (let j = 0; j < n; j++) {
            const strength = Math.sqrt(Math.max(0, film.influence(t - 1, k, j)) / (film.largest || 1));
            if (k !== j && strength > 0.2) arrow(this.map.getContext("2d"), middle(k), middle(j), strength, film.colours[k], this.cell);
          }
      }
      this.cards.forEach(({view, lines}, k) => {
        cells(view, film, film.view(t, k), film.v, film.u, this.small, null);
        lines.textContent = this.words(t, k).join("\n");
      });
      const context = this.chart.getContext("2d");
      context.clearRect(0, 0, this.chart.width, this.chart.height);
      context.drawImage(this.lines, 0, 0);
      context.fillStyle = this.ink;
      context.fillRect((this.across(t) - 1) * this.fine, 8 * this.fine, 2 * this.fine, 142 * this.fine);
      this.map.setAttribute("aria-label", `map of ${film.name} in state ${t} of ${film.steps}`);
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

  // For the recorded moment of row m: j's next action given each action of k, and its marginal.
  function alternatives(film, m) {
    const [t, k, j, then] = film.a.recorded.subarray(4 * m, 4 * m + 4), size = film.actions.length;
    const taken = film.a.actions[t * film.n + k], followed = then < film.steps ? film.a.actions[then * film.n + j] : -1;
    const table = make("table", {class: "alternatives"});
    table.append(make("caption", {text: `Step ${t}: what ${film.agents[j]} would do in step ${then}, for each action of ${film.agents[k]}, in %. ` +
      `It did “${film.actions[taken]}”` + (followed < 0 ? "." : `, then ${film.agents[j]} did “${film.actions[followed]}”.`)}));
    table.append(make("tr", {}, make("th", {scope: "col", text: film.agents[k]}), ...film.actions.map((name, b) =>
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
    for (let b = 0; b < size; b++)
      row((b === taken ? "● " : "") + film.actions[b], film.a.conditionals.subarray((m * size + b) * size, (m * size + b + 1) * size), b === taken ? "taken" : "");
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
      this.arrows = make("input", {type: "checkbox", checked: "", onchange: () => this.draw()});
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
        for (const pane of this.panes) if (pane) pane.lines = pane.background();
        this.draw();
      };
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
      window.addEventListener("resize", again);
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
        this.panes[side].show(film);
      });
      this.last = Math.max(...films.map((film) => (film ? film.steps : 0)));
      this.slider.max = String(this.last);
      this.arrows.parentElement.hidden = !films.some((film) => film && film.a.influence);
      this.list(films[0]);
      this.seek(state);
    }
    list(film) {
      this.alternatives = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "counterfactual view"});
      const listed = film.moments.slice(0, LISTED);
      this.stops = [...new Set(listed.map(([t]) => t + 1))].sort((a, b) => a - b);
      this.moments.hidden = !listed.length;
      for (const button of this.jumps) button.hidden = !listed.length;
      this.told = null;
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
      this.draw();
    }
    draw() {
      this.slider.value = String(this.state);
      this.label.textContent = `${this.state} of ${this.last}`;
      this.slider.setAttribute("aria-valuetext", `state ${this.state} of ${this.last}`);
      for (const pane of this.panes) if (pane) pane.draw(this.state, this.arrows.checked);
      const film = this.panes[0] && this.panes[0].film;
      if (!film || !this.buttons || this.told === this.state) return;
      this.told = this.state;
      for (const button of this.buttons) button.toggleAttribute("aria-current", Number(button.dataset.state) === this.state);
      if (!film.a.recorded) return;
      const tables = [];
      for (let m = 0; m < film.a.recorded.length / 4; m++)
        if (film.a.recorded[4 * m] === this.state - 1) tables.push(alternatives(film, m));
      const none = make("p", {class: "muted", text: "No alternatives are recorded for this step; the influential moments have them."});
      this.alternatives.replaceChildren(...(tables.length ? tables : [none]));
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
      return {codes: [...codes], pixels: [...picture(film, codes, film.v, film.u).data]};
    },
  };
})();
