/** A photo from the camera, where the browser and the person allow it. */

import { element } from "./stage.js";

/** @type {MediaStream | undefined} */
let stream; // at most one: a camera that stays on is a light that stays on

const stop = () => stream?.getTracks().forEach((track) => track.stop());

/**
 * Show what the camera sees, and hand on the picture that is taken.
 * @param {HTMLDialogElement} dialog
 * @param {(blob: Blob) => void} taken
 * @param {(words: string) => void} refused
 */
export async function takePhoto(dialog, taken, refused) {
  const video = /** @type {HTMLVideoElement} */ (dialog.querySelector("video"));
  const [take, close] = /** @type {NodeListOf<HTMLButtonElement>} */ (dialog.querySelectorAll("button"));
  if (!(await opened())) return refused("The camera isn't there, or its use isn't allowed. Choose a file instead.");
  dialog.onclose = stop;
  close.onclick = () => dialog.close();
  take.disabled = true; // until there is a picture
  video.onloadeddata = () => (take.disabled = false);
  take.onclick = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && taken(blob));
    dialog.close();
  };
  video.srcObject = stream ?? null;
  dialog.showModal();
  await video.play().catch(() => {}); // the dialog was closed meanwhile
}

/** Ask for the camera; its button waits as long as the person thinks about it. Return whether there is one. */
async function opened() {
  const button = element("camera", HTMLButtonElement);
  button.disabled = true;
  stop();
  stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).catch(() => undefined);
  button.disabled = false;
  button.focus(); // which a disabled button has lost
  return Boolean(stream);
}
