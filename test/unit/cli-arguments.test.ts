import { expect } from 'chai'
import { argumentsOf } from '../../src/cli/arguments.js'
import { createProgram } from '../../src/cli/program.js'

describe('the words of named-lock run', () => {
  const words = (line: string) => argumentsOf(createProgram(), line.split(' ')).join(' ')

  it('leaves everything from the first word of the command on to the command', () => {
    expect(words('run job psql -d app')).to.equal('run job -- psql -d app')
    expect(words('run --timeout 5s -d ds.js job --url=x psql -c --timeout')).to.equal(
      'run --timeout 5s -d ds.js job --url=x -- psql -c --timeout',
    )
    expect(words('run -8213 --exact-name psql -d app')).to.equal('run -8213 --exact-name -- psql -d app')
    expect(words('run --no-namespace job sh -c true -- x')).to.equal('run --no-namespace job -- sh -c true -- x')
  })

  it('keeps a line that has the `--`, and names that begin with a dash', () => {
    for (const line of [
      'run job -- psql -d app',
      'run -- -job psql',
      'run',
      'run job',
      'list -d x y z',
      'who -- -job',
    ]) {
      expect(words(line)).to.equal(line)
    }
    expect(words('run -d ds.js -- -job -- psql -- x')).to.equal('run -d ds.js -- -job psql -- x')
  })
})
