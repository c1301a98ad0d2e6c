// Refreshes, finds one target, downloads it, and prints where it is and its custom value.
import { Updater } from 'tuf-js';

const [metadataDir, metadataBaseUrl, targetDir, targetBaseUrl, path] = process.argv.slice(2);
const updater = new Updater({ metadataDir, metadataBaseUrl, targetDir, targetBaseUrl });
await updater.refresh();
const target = await updater.getTargetInfo(path);
if (!target) {
  throw new Error(`no target ${path}`);
}
const file = await updater.downloadTarget(target);
console.log(JSON.stringify({ file, custom: target.custom }));
