package main

import (
	"context"
	"fmt"
	"io"
)

func storeCommand() command {
	return command{
		name: "store", args: "check|compact|bench|backup|restore|erasures [flags]",
		summary: "what the box keeps: checked, packed, out of the box, and back",
		help: `The store of a box holds its people and its journal, encrypted. A backup takes all
of it out of the box in one file; a restore brings that back.

  cypherface store check                  read everything, and say what is wrong
  cypherface store compact                give the room of what was deleted back
  cypherface store bench                  measure what keeping things costs
  cypherface store backup --to FILE       a backup, while the box runs or not
  cypherface store restore --from FILE    bring it back, on this box or another
  cypherface store restore --copy latest  bring back the newest hot copy
  cypherface store erasures --out FILE    who was erased, for a restore elsewhere

cypherface store WORD --help shows flags and examples.
`,
		run: runStore,
	}
}

func storeCommands() []command {
	return []command{storeCheckCommand(), storeCompactCommand(), storeBenchCommand(), storeBackupCommand(), storeRestoreCommand(), storeErasuresCommand()}
}

func runStore(ctx context.Context, t *terminal, args []string) error {
	return runWord(ctx, t, storeCommand(), storeCommands(), args)
}

// runWord runs the command of a family that the first argument names.
func runWord(ctx context.Context, t *terminal, family command, words []command, args []string) error {
	if len(args) > 0 {
		for _, c := range words {
			if c.name == family.name+" "+args[0] {
				return c.run(ctx, t, args[1:])
			}
		}
	}
	fs, _ := family.flags(t)
	rest, err := parse(t, fs, args)
	if err == nil && len(rest) > 0 {
		fmt.Fprintf(t.err, "cypherface %s: unknown word %q\n\n", family.name, rest[0])
	}
	if err == nil {
		fs.Usage()
		return errUsage
	}
	return err
}

// told counts what is written, for the progress.
type told struct {
	w     io.Writer
	p     *progress
	done  int64
	total int64
}

func (c *told) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.done += int64(n)
	c.p.step(int(c.done>>20), int(c.total>>20))
	return n, err
}
