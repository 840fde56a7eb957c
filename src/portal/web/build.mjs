// Compiles the scripts of the portal into the folder that is named as the first argument.
import { build } from 'esbuild';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: npm run build -- FOLDER');
  process.exit(64);
}

await build({
  entryPoints: ['src/app.ts', 'src/terminal.ts'],
  outdir: folder,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'inline',
  logLevel: 'warning',
});
