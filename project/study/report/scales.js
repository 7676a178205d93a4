// Numbers to places and back. Provides: makeScale, makeTicks, nearestIndex, smooth.

// Return a function from [low, high] to [start, end], with its `inverse`.
function makeScale(low, high, start, end, isLog = false) {
  const transform = isLog ? Math.log10 : (value) => value;
  const first = transform(low), last = transform(high);
  const slope = last > first ? (end - start) / (last - first) : 0;
  const scale = (value) => (slope ? start + (transform(value) - first) * slope : (start + end) / 2);
  scale.inverse = (place) => {
    const value = slope ? first + (place - start) / slope : first;
    return isLog ? 10 ** value : value;
  };
  return scale;
}

// Return about `count` round numbers from low to high.
function makeTicks(low, high, count, isLog = false) {
  const ticks = isLog ? makeLogTicks(low, high) : [];
  if (ticks.length > 1) return ticks;
  ticks.length = 0;
  const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9)) * power;
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  for (let number = first; number <= last && ticks.length < 100; number++) ticks.push(+(number * step).toPrecision(12));
  return ticks;
}

function makeLogTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), ticks = [];
  const factors = last - first > 6 ? [1] : last - first > 2 ? [1, 3] : [1, 2, 5];
  for (let exponent = first; exponent <= last; exponent++) {
    for (const factor of factors) {
      const value = factor * 10 ** exponent;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  }
  return ticks;
}

// Return the index of the number nearest to a value, in an array that ascends.
function nearestIndex(numbers, value) {
  let low = 0, high = numbers.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < value) low = middle; else high = middle;
  }
  return Math.abs(numbers[low] - value) <= Math.abs(numbers[high] - value) ? low : high;
}

// Return the exponential moving average of values, of which `weight` in [0, 1) is that of the past. It starts at the
// first value, not at 0.
function smooth(values, weight) {
  if (!weight) return values;
  let sum = 0, count = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * weight + value * (1 - weight);
    count++;
    return sum / (1 - weight ** count);
  });
}
