import eslint from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'docs/api/',
      'docs/.vitepress/{dist,cache,.temp}/',
      '**/node_modules/',
      '.cache/',
      'test/types/',
      'test/package/consumers/',
      'test/docs/given/',
    ],
  },
  eslint.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['*.mjs'] }, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'off', // the structural seam to two majors of TypeORM needs it; reviews watch the rest
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'off', // an aborted signal rejects with its own reason, whatever it is
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' },
      ],
    },
  },
  {
    // Faked clocks and timers of a user's test must not reach the library: src/util/clock.ts says why.
    files: ['src/**'],
    ignores: ['src/util/clock.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...'setTimeout,clearTimeout,setInterval,clearInterval,setImmediate,clearImmediate,queueMicrotask,performance'
          .split(',')
          .map((name) => ({ name, message: 'Take it from src/util/clock.ts.' })),
      ],
      'no-restricted-properties': [
        'error',
        ...['Date.now', 'process.nextTick', 'process.hrtime', 'process.uptime', 'AbortSignal.timeout'].map((name) => {
          const [object, property] = name.split('.')
          return { object, property, message: 'Take what src/util/clock.ts has.' }
        }),
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: 'Write new Date(wallNow()).' },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            'node:timers',
            'node:timers/promises',
            'node:perf_hooks',
            'timers',
            'timers/promises',
            'perf_hooks',
          ].map((name) => ({ name, message: 'Import src/util/clock.ts instead.' })),
        },
      ],
    },
  },
  {
    files: ['test/**'],
    rules: { '@typescript-eslint/no-unused-expressions': 'off', '@typescript-eslint/unbound-method': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {
      parserOptions: { projectService: false },
      globals: Object.fromEntries(
        '__dirname,__filename,module,process,require,console,setTimeout'
          .split(',')
          .map((name) => [name, name === 'module' ? 'writable' : 'readonly']),
      ),
    },
  },
  {
    files: ['sample-app/page/**'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {
      parserOptions: { projectService: false },
      globals: Object.fromEntries(
        'document,window,fetch,matchMedia,getComputedStyle,requestAnimationFrame,performance,setTimeout,clearTimeout,setInterval,addEventListener,location,EventSource,HTMLElement,OffscreenCanvas,DOMMatrix'
          .split(',')
          .map((name) => [name, 'readonly']),
      ),
    },
  },
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  {
    // The site's own packages are installed when it is first built; until then its types are unknown.
    files: ['docs/.vitepress/**'],
    rules: { '@typescript-eslint/no-redundant-type-constituents': 'off' },
  },
)
