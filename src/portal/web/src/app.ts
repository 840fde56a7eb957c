// Keeps a page up to date and makes its buttons act on the spot. The server writes all that the page shows; this
// program only fetches newer versions of it.
import { watchState } from './live';
import { watchActions } from './actions';
import { watchKeys } from './keys';
import { watchFilter } from './filter';
import { watchCopying } from './copy';
import { watchLogs } from './logs';
import { watchTimes } from './times';
import { watchFigures } from './figures';
import { watchPreview } from './preview';
import { watchPalette } from './palette';
import { watchHelp } from './help';

watchTimes();
watchActions();
const showCopying = watchCopying();
const filter = watchFilter();
watchKeys();
watchPalette();
watchHelp();
const newerLog = watchLogs();
watchFigures();
watchPreview();
if (document.body.dataset['live'] !== undefined) watchState(() => { filter(); showCopying(); newerLog(); });
