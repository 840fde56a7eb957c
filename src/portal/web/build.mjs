// Compiles the scripts of the portal into the folder that is named as the first argument.
import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: npm run build -- FOLDER');
  process.exit(64);
}

const shared = {
  outdir: folder,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'inline',
  logLevel: 'warning',
};

await build({ ...shared, entryPoints: ['src/app.ts', 'src/terminal.ts'] });

// The pages that need a large library have their own scripts. The library's licence goes with its code.
const licence = await readFile('node_modules/uplot/LICENSE', 'utf8');
const banner = `/*! uPlot\n${licence.trim().replaceAll('*/', '')}\n*/`;
await build({
  ...shared,
  entryPoints: ['src/machine.ts', { in: 'node_modules/uplot/dist/uPlot.min.css', out: 'uplot' }],
  banner: { js: banner, css: banner },
});
