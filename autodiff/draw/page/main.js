// Where everything begins, and what the keys do.
recolour();
if (data.steps.length) {
  document.getElementById('step').max = String(data.steps.length - 1);
  document.getElementById('step').addEventListener('input', function (event) { stop(); show(Number(event.target.value)); });
  document.getElementById('back').addEventListener('click', function () { stop(); show(at - 1); });
  document.getElementById('next').addEventListener('click', function () { stop(); show(at + 1); });
  document.getElementById('play').addEventListener('click', play);
  show(0);
} else {
  document.getElementById('player').hidden = true;
}
if (data.training) { openTraining(); toMoment(frames.length - 1); }

document.addEventListener('keydown', function (event) {
  const target = event.target;
  const busy = target instanceof HTMLInputElement || event.ctrlKey || event.altKey || event.metaKey;
  const scrolls = target.id === 'picture' && event.key.startsWith('Arrow');
  if (busy || scrolls || !data.steps.length) return;
  const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: data.steps.length - 1 };
  if (event.key in moves) {
    stop();
    show(moves[event.key]);
  } else if (event.key === ' ' && !(target instanceof HTMLButtonElement)) {
    play();
  } else if (data.training && (event.key === ',' || event.key === '.')) {
    toMoment(moment + (event.key === '.' ? 1 : -1));
  } else {
    return;
  }
  event.preventDefault();
});
