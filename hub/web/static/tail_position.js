// Where a live tail stands, as hub/tail_position.py has it: kept by folding in what the hub tells.
"use strict";

class TailPosition {
  constructor() {
    this.startMs = 0;
    this.base = new Map(); // The log as JSON of [origin, epoch] -> [[first, last], ...], in order.
    this.later = new Map();
    this.parts = new Map(); // JSON of [origin, epoch, seq] -> the place to go on from.
    this.isWhole = false;
  }

  fold(event, data) {
    if (event === "rows" || event === "gap") this.foldPart(data);
    if (event === "position") this.foldLogs(data);
  }

  foldPart({ origin, epoch, seq, next, last }) {
    if (last) this.see(origin, epoch, [[seq, seq]]);
    else this.parts.set(JSON.stringify([origin, epoch, seq]), next);
  }

  foldLogs({ logs, start_ms: startMs, base, more }) {
    for (const [origin, epoch, spans] of logs) {
      if (base) this.base.set(JSON.stringify([origin, epoch]), spans);
      else this.see(origin, epoch, spans);
    }
    if (startMs !== undefined) this.startMs = startMs;
    if (base) this.isWhole = !more;
  }

  see(origin, epoch, spans) {
    const key = JSON.stringify([origin, epoch]);
    const logs = this.base.has(key) ? this.base : this.later;
    logs.set(key, TailPosition.joined(logs.get(key) || [], spans));
    for (const part of [...this.parts.keys()]) {
      const [ofOrigin, ofEpoch, seq] = JSON.parse(part);
      const isOver = spans.some(([first, last]) => first <= seq && seq <= last);
      if (ofOrigin === origin && ofEpoch === epoch && isOver) this.parts.delete(part);
    }
  }

  static joined(mine, more) {
    const joined = [];
    for (const [first, last] of [...mine, ...more].sort((one, other) => one[0] - other[0])) {
      const end = joined[joined.length - 1];
      if (end && first <= end[1] + 1) end[1] = Math.max(end[1], last);
      else joined.push([first, last]);
    }
    return joined;
  }

  toWire() {
    const listed = (logs) => [...logs].map(([key, spans]) => [...JSON.parse(key), spans]);
    return {
      version: 1,
      start_ms: this.startMs,
      base: listed(this.base),
      later: listed(this.later),
      parts: [...this.parts].map(([key, place]) => [...JSON.parse(key), place]),
    };
  }
}
