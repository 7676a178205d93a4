// Photographs, in a dialog.

import { at } from "./dom.js";

const REASONS = {
  NotAllowedError: "The browser may not use the camera. Allow it in the settings of this site.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be used; another program may be using it.",
};

/** Return whether there is a camera; browsers offer none to a page without https, except on localhost. */
export async function hasCamera() {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []);
  return Boolean(devices?.some(device => device.kind === "videoinput"));
}

/** Return a photograph as a JPEG, or null if the dialog was closed without one. */
export async function takePhotograph() {
  const dialog = at("photograph"), video = at("viewfinder"), shutter = at("shutter"), error = at("camera-error");
  let photograph = null, stream = null, isOver = false;
  error.hidden = true;
  video.hidden = false;
  shutter.disabled = true;
  dialog.showModal();
  const closed = new Promise(resolve => dialog.addEventListener("close", resolve, { once: true }));
  video.onplaying = () => (shutter.disabled = false);
  shutter.onclick = async () => {
    shutter.disabled = true;
    photograph = await capture(video);
    dialog.close();
  };
  at("cancel").onclick = () => dialog.close();
  navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } }).then(
    opened => {
      stream = opened;
      if (isOver) stop(stream); // closed while the browser asked for permission
      else video.srcObject = stream;
    },
    reason => {
      error.textContent = REASONS[reason.name] ?? `The camera cannot be used: ${reason.message}`;
      error.hidden = false;
      video.hidden = true;
    },
  );
  await closed;
  isOver = true;
  video.srcObject = null;
  if (stream) stop(stream);
  return photograph;
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function capture(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise(resolve => canvas.toBlob(resolve, "image/jpeg", 0.95));
}
