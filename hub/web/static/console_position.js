// How far a console was shown, so that it goes on at that byte. The same rule as in
// hub/cli/console_position.py: words may overtake bytes, so what was lost before an offset is left
// out once the bytes reach it.
"use strict";

class ConsolePosition {
  constructor() {
    this.offset = null;
    this.holes = [];
  }

  hear(word) {
    if (!Number.isInteger(word.at)) return;
    if (word.lost > 0) return void this.holes.push([word.at - word.lost, word.at]);
    this.offset = word.at;
    this.holes = [];
  }

  // Counts bytes that were shown; returns how many were found missing before them.
  shown(size) {
    if (this.offset === null) return 0;
    let missing = 0;
    while (this.holes.length && this.offset >= this.holes[0][0]) {
      const [begin, end] = this.holes.shift();
      missing += end - begin;
      this.offset += end - begin;
    }
    this.offset += size;
    return missing;
  }
}
