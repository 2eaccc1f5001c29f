/** A photo from the camera, where the browser and the person allow it. */

/**
 * Show what the camera sees, and hand on the picture that is taken.
 * @param {HTMLDialogElement} dialog
 * @param {(blob: Blob) => void} taken
 * @param {(words: string) => void} refused
 */
export async function takePhoto(dialog, taken, refused) {
  const video = /** @type {HTMLVideoElement} */ (dialog.querySelector("video"));
  const [take, close] = /** @type {NodeListOf<HTMLButtonElement>} */ (dialog.querySelectorAll("button"));
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return refused("The camera isn't there, or its use isn't allowed. Choose a file instead.");
  }
  video.srcObject = stream;
  dialog.onclose = () => stream.getTracks().forEach((track) => track.stop());
  close.onclick = () => dialog.close();
  take.onclick = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && taken(blob));
    dialog.close();
  };
  dialog.showModal();
  await video.play();
}
