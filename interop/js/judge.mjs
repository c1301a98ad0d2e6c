// Judges repositories: a refresh and the search for one target each. Standard input is
// {now, repositories: [{url, dir, path}]}, each dir holding root.json; standard output is a list of reasons, empty for a
// repository that was accepted.
import { readFileSync } from 'node:fs';
import { Updater } from 'tuf-js';

async function judge(now, { url, dir, path }) {
  try {
    const updater = new Updater({
      metadataDir: dir,
      metadataBaseUrl: url,
      config: { fetchRetries: 0, fetchRetry: 0 },
    });
    // There is no option for the time.
    updater.trustedSet.referenceTime = new Date(now);
    await updater.refresh();
    return (await updater.getTargetInfo(path)) ? '' : 'not found';
  } catch (error) {
    return `${error}`;
  }
}

const { now, repositories } = JSON.parse(readFileSync(0, 'utf8'));
const reasons = [];
for (const repository of repositories) {
  reasons.push(await judge(now, repository));
}
console.log(JSON.stringify(reasons));
