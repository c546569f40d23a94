// Every word that the page says, in one place: to translate it, translate this file.
// {name} stands for a value.

export const TEXTS = {
  title: "Chest radiographs",
  notDevice: "Not a medical device; decision support only.",
  physician: "A physician reads the radiograph and decides.",
  meantFor: "Meant for: {uses}",
  notMeantFor: "Not for: {uses}",
  usesNotStated: "For whom this model is meant is not stated: do not use it on patients.",
  model: "Model {name} {version}",
  aboutModel: "About the model",
  cardMissing: "The model card could not be had.",
  operatingPoint: "Operating point",
  pointOption: "{name}: from {threshold} on (sensitivity {sensitivity}, specificity {specificity})",
  light: "Light",
  dark: "Dark",
  help: "Help",
  close: "Close",

  dropHere: "Drop frontal chest radiographs here",
  dropWhat: "JPEG or PNG, one or many, or a folder. They are read by the service of this hospital, and stored nowhere.",
  chooseFiles: "Choose files",
  chooseFolder: "Choose a folder",
  addFiles: "Add files",
  addFolder: "Add a folder",
  list: "List",
  table: "Table",
  view: "View",
  csv: "Download CSV",
  clear: "Remove all",
  skipped: "{count} files of the folder are not JPEG or PNG and were left out.",
  tooMany: "At most {most} images at a time: {count} were left out.",

  progress: "{done} of {total} read",
  notRead: "{count} not read",
  counts: "{positive} PNEUMONIA, {negative} NORMAL",
  withWarnings: "{count} with warnings",
  full: "The service is busy; the page waits and goes on by itself.",
  modelUnreachable: "The service cannot be reached. The page keeps trying.",
  removed: "All images were removed.",

  key: "Key",
  keyNeeded: "This service takes a key. The hospital's administrator gives you one.",
  keyWrong: "This key is not known here, was revoked or has expired.",
  keyForbidden: "This key may not have images read.",
  useKey: "Use this key",

  images: "Images",
  waiting: "Waiting",
  reading: "Being read",
  failed: "Not read",
  retry: "Try again",
  scale: "Probability of PNEUMONIA {probability}, threshold {threshold}, on a scale from 0 to 1",
  unreliable: "do not rely on this",

  viewer: "Image",
  nothingOpen: "Choose an image of the list to see it here, with the heatmap.",
  previous: "Previous",
  next: "Next",
  probability: "Probability",
  threshold: "Threshold",
  guardScore: "Guard score",
  guardMeaning: "{score} (about 1 for images like those of training)",
  modelName: "Model",
  requestId: "Request",
  heatmap: "Heatmap",
  heatmapLoading: "The heatmap is being computed.",
  heatmapFailed: "There is no heatmap: {why}",
  heatmapDark: "No evidence stands out anywhere.",
  opacity: "Opacity",
  legend: "Evidence for PNEUMONIA by place; not a localisation",
  dragFor: "Drag to",
  window: "Window",
  pan: "Move",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  reset: "Reset",
  stage: "Radiograph. Arrow keys move it, with Shift they change window and level.",
  readout: "W {width}  L {level}  {zoom} %",
  noPicture: "This browser cannot show the file.",

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
  tableCaption: "All images. The heads of the columns sort.",

  warnings: {
    exif_orientation_applied: "Turned or mirrored as the file says: check which side is left.",
    unlike_training_data: "Unlike the radiographs the model was trained on: do not rely on the probability.",
  },

  shortWarnings: {
    exif_orientation_applied: "Turned as the file says: check the sides",
    unlike_training_data: "Unlike the training images: do not rely on it",
  },

  problems: {
    "missing-body": "The file is empty.",
    "empty-file": "The file is empty.",
    "unsupported-media-type": "Not a JPEG or PNG image.",
    "truncated-image": "The image is cut short or damaged.",
    "too-many-pixels": "The image has too many pixels.",
    "image-too-small": "The image is too small to be read.",
    "aspect-ratio": "The image is too long and narrow for a radiograph.",
    "animated-image": "The file holds several pictures.",
    "unsupported-jpeg": "A kind of JPEG that is not read (lossless, 12-bit or CMYK).",
    "too-much-metadata": "The file holds too much besides the picture.",
    "body-too-large": "The file is too large.",
    "upload-timeout": "The file took too long to arrive.",
    "unauthorized": "The service takes a key, and not this one.",
    "forbidden": "The key, or this address, may not have images read.",
    "quota-exceeded": "This key has sent as many images as it may a minute. Try again later.",
    "unlike-training-data": "Unlike the radiographs the model was trained on: it is not read.",
    "model-fault": "The model failed on this image.",
    "internal-error": "The service made an error.",
    "overloaded": "The service is busy. Try again later.",
    "not-ready": "The service is starting or stopping. Try again later.",
    "deadline-exceeded": "The service took too long. Try again.",
    "unreachable": "No answer: the service cannot be reached, or the file cannot be read or is too large.",
    "unknown": "The service gave no answer (status {status}).",
  },

  keysTitle: "Keys",
  keys: [
    ["Tab, Enter", "go to a control, use it"],
    ["Up, Down, Home, End", "in the list: go from image to image; Enter opens one"],
    ["N, P", "next, previous image"],
    ["H", "heatmap on or off"],
    ["[ and ]", "heatmap weaker or stronger"],
    ["+ and -", "zoom in or out; so does the wheel"],
    ["Arrow keys", "on the radiograph: move it"],
    ["Shift and arrow keys", "on the radiograph: window narrower, wider; level brighter, darker"],
    ["0", "reset zoom, position, window and level"],
    ["T", "table or list"],
    ["O", "choose files"],
    ["Esc", "close the image"],
    ["?", "this help"],
  ],
  mouse: "Dragging changes the window (sideways: width, up and down: level). With Shift, or with the right or middle "
    + "button, it moves the picture. A double click resets. With two fingers: zoom and move.",
  singleKeys: "Use keys of one letter",
  privacy: "Nothing is stored in this browser or on the server: when the page is closed, all is gone, a key too. "
    + "File names do not leave this browser.",
};

/** A text with its values put in. A path such as "columns.name" leads to an inner one. */
export function say(path, values = {}) {
  const text = path.split(".").reduce((node, key) => node[key], TEXTS);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What a warning means, in plain words; an unknown one in the service's own. */
export const warningText = (warning) => TEXTS.warnings[warning.code] ?? warning.detail;

/** The same for a list. */
export const shortWarning = (warning) => TEXTS.shortWarnings[warning.code] ?? warning.detail;

/** Why an image was not read, in plain words; an unknown problem in the service's own. */
export function problemText(problem) {
  const slug = problem.type.split("/").pop();
  return TEXTS.problems[slug]?.replace("{status}", problem.status) ?? problem.detail ?? problem.title;
}
