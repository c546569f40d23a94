// All texts of the page: to translate the page, translate this file. {name} is a placeholder for a value.

export const TEXTS = {
  title: "Chest radiographs",
  notDevice: "Not a medical device; decision support only.",
  physician: "A physician reads the radiograph and decides.",
  meantFor: "Intended use: {uses}",
  notMeantFor: "Not intended for: {uses}",
  usesNotStated: "No intended use is stated: do not use this model on patients.",
  model: "Model {name} {version}",
  modelOfSite: "Model {name} {version}, thresholds and calibration of {site}",
  aboutModel: "About the model",
  cardMissing: "Could not load the model card.",
  operatingPoint: "Operating point",
  pointOption: "{name}: positive at {threshold} or above (sensitivity {sensitivity}, specificity {specificity})",
  light: "Light",
  dark: "Dark",
  help: "Help",
  close: "Close",

  dropHere: "Drop frontal chest radiographs here",
  dropWhat: "JPEG, PNG or DICOM, one or many, or a folder. They are analysed on this hospital's server. Images are not stored.",
  chooseFiles: "Choose files",
  chooseFolder: "Choose folder",
  addFiles: "Add files",
  addFolder: "Add folder",
  list: "List",
  table: "Table",
  view: "View",
  csv: "Download CSV",
  clear: "Remove all",
  skipped: "{count} files skipped (not JPEG, PNG or DICOM): {names}.",
  tooMany: "{count} files skipped: at most {most} images at a time.",

  labels: {
    PNEUMONIA: "PNEUMONIA",
    NORMAL: "Below threshold",
  },
  labelMeanings: {
    PNEUMONIA: "PNEUMONIA",
    NORMAL: "Below threshold: no pneumonia detected",
  },

  progress: "{done} of {total} done",
  failures: "{count} failed",
  counts: "{positive} PNEUMONIA, {negative} below threshold",
  withWarnings: "{count} with warnings",
  full: "The service is busy. Waiting; will resume automatically.",
  modelUnreachable: "Cannot reach the service. Retrying automatically.",
  removed: "All images were removed.",

  key: "Access key",
  keyNeeded: "An access key is required. Ask your administrator.",
  keyWrong: "Key invalid, revoked or expired.",
  keyForbidden: "This key cannot analyse images.",
  useKey: "Use this key",

  images: "Images",
  waiting: "Waiting",
  analysing: "Analysing",
  failed: "Failed",
  retry: "Try again",
  scale: "Probability of PNEUMONIA {probability}, threshold {threshold}, on a scale from 0 to 1",
  unreliable: "unreliable",

  viewer: "Image",
  nothingOpen: "Select an image to view it with its heatmap.",
  previous: "Previous",
  next: "Next",
  probability: "Probability",
  threshold: "Threshold",
  guardScore: "Input check",
  guardMeaning: "{score} (typical: about 1)",
  modelName: "Model",
  requestId: "Request",
  heatmap: "Heatmap",
  heatmapLoading: "Computing the heatmap.",
  heatmapFailed: "Heatmap unavailable: {why}",
  heatmapDark: "No notable evidence in any area.",
  opacity: "Opacity",
  legend: "Where the model found evidence (not a lesion outline)",
  dragFor: "Drag:",
  window: "Window/level",
  pan: "Pan",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  reset: "Reset",
  stage: "Radiograph. Arrow keys pan; Shift and arrow keys change window and level.",
  readout: "W {width}  L {level}  {zoom} %",
  noPicture: "This browser cannot display the file.",

  columns: {
    name: "File",
    label: "Label",
    probability: "Probability",
    threshold: "Threshold",
    point: "Operating point",
    warnings: "Warnings",
    error: "Error",
    model: "Model",
    requestId: "Request",
  },
  tableCaption: "All images. Click a column heading to sort.",

  warnings: {
    exif_orientation_applied: "Rotated or mirrored as its EXIF orientation says: verify left and right.",
    bit_depth_unclear: "16 bits per sample in an unclear range: brightness may be wrong.",
    no_window: "No usable window in the DICOM object: brightness and contrast may be wrong.",
    presentation_shape_contradicts: "The DICOM object contradicts itself on inversion: viewers may show it inverted.",
    colour_image: "Colour picture: its brightness was analysed.",
    unusual_orientation: "Mirrored or rotated, as its DICOM object says; analysed as stored: verify left and right.",
    lateral_view: "A lateral view, as its DICOM object says: the result is unreliable.",
    other_body_part: "Not a chest, as its DICOM object says: the result is unreliable.",
    age_outside_model: "The patient's age is outside those that the model is meant for: the result is unreliable.",
    unlike_training_data: "Outside the training data (unlike the radiographs the model was trained on): "
      + "the result is unreliable.",
  },

  shortWarnings: {
    exif_orientation_applied: "Rotated as its EXIF says: verify left and right",
    bit_depth_unclear: "Bit depth unclear: brightness may be wrong",
    no_window: "No window: brightness may be wrong",
    presentation_shape_contradicts: "Inversion contradictory",
    colour_image: "Colour picture",
    unusual_orientation: "Mirrored or rotated: verify left and right",
    lateral_view: "Lateral view: result unreliable",
    other_body_part: "Not a chest: result unreliable",
    age_outside_model: "Age outside the model's: result unreliable",
    unlike_training_data: "Outside the training data: result unreliable",
  },

  problems: {
    "missing-body": "The file is empty.",
    "empty-file": "The file is empty.",
    "unsupported-media-type": "Not a JPEG, PNG or DICOM image.",
    "unsupported-transfer-syntax": "The compression of this DICOM object is not supported.",
    "unusable-object": "The DICOM object contradicts itself or has no picture.",
    "unsupported-modality": "Not a digital radiograph (CR, DX).",
    "for-processing": "Raw detector values (For Processing): send the image For Presentation.",
    "multi-frame": "The DICOM object has several frames.",
    "unsupported-view": "Not a frontal view.",
    "unsupported-body-part": "Not a chest.",
    "unsupported-age": "The patient's age is outside those that the model is meant for.",
    "truncated-image": "The image is truncated or damaged.",
    "too-many-pixels": "The image has too many pixels.",
    "image-too-small": "The image is too small.",
    "aspect-ratio": "Implausible aspect ratio for a radiograph.",
    "animated-image": "The file contains several images.",
    "unsupported-jpeg": "Unsupported JPEG type (JPEG-LS, lossless, 12-bit or CMYK).",
    "too-much-metadata": "Too much metadata in the file.",
    "body-too-large": "The file is too large.",
    "upload-timeout": "The upload took too long.",
    "unauthorized": "An access key is required, or the key is invalid.",
    "forbidden": "This key or this address is not allowed to analyse images.",
    "quota-exceeded": "Rate limit reached. Try again in a minute.",
    "unlike-training-data": "Rejected by the input check: unlike the radiographs the model was trained on.",
    "model-fault": "The model failed on this image.",
    "internal-error": "Internal error of the service.",
    "overloaded": "The service is busy. Try again later.",
    "not-ready": "The service is starting or stopping. Try again later.",
    "deadline-exceeded": "The analysis took too long. Try again.",
    "unreachable": "The service is not responding, or the file cannot be opened or is too large.",
    "unknown": "Unexpected answer from the service (status {status}).",
  },

  keysTitle: "Keyboard shortcuts",
  keys: [
    ["Tab, Enter", "move between controls, activate"],
    ["Up, Down, Home, End", "in the list: move between images; Enter opens one"],
    ["N, P", "next, previous image"],
    ["H", "heatmap on or off"],
    ["[ and ]", "heatmap weaker or stronger"],
    ["+ and -", "zoom in or out; so does the mouse wheel"],
    ["Arrow keys", "on the radiograph: pan"],
    ["Shift and arrow keys", "on the radiograph: window narrower, wider; level brighter, darker"],
    ["0", "reset zoom, position, window and level"],
    ["T", "table or list"],
    ["O", "choose files"],
    ["Esc", "close the image"],
    ["?", "this help"],
  ],
  mouse: "Dragging changes the window (sideways: width, up and down: level). With Shift, or with the right or middle "
    + "mouse button, it pans. A double click resets. With two fingers: zoom and pan.",
  singleKeys: "Enable single-key shortcuts",
  privacy: "Closing the page discards all results and your key: this browser stores nothing, and file names do not leave "
    + "it. The server does not store images; if its audit log is on, it records results with a digest of each image.",
};

/** A text with its placeholders filled in. "columns.name" is the path of a nested text. */
export function say(path, values = {}) {
  const text = path.split(".").reduce((node, key) => node[key], TEXTS);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The text of a warning; for an unknown code, the text that the service sent. */
export const warningText = (warning) => TEXTS.warnings[warning.code] ?? warning.detail;

/** The short text of a warning, for the list and the table. */
export const shortWarning = (warning) => TEXTS.shortWarnings[warning.code] ?? warning.detail;

/** The text of a problem; for an unknown type, the text that the service sent. */
export function problemText(problem) {
  const slug = problem.type.split("/").pop();
  return TEXTS.problems[slug]?.replace("{status}", problem.status) ?? problem.detail ?? problem.title;
}
