package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// commands is the whole command line, in the order of the list.
func commands() []command {
	return []command{
		verifyCommand(), detectCommand(), evalCommand(), evalPadCommand(), benchCommand(),
		enrolCommand(), identifyCommand(), usersCommand(), exportCommand(), importCommand(), consentCommand(), credentialsCommand(), retentionCommand(), reviewCommand(), cameraCommand(), doorCommand(), envCommand(), joinCommand(), leaveCommand(), syncCommand(), storeCommand(), keysCommand(), accountsCommand(), mailCommand(), keyCommand(), auditCommand(), doctorCommand(),
		modelsCommand(), probeCommand(),
	}
}

// flags starts the flag set of a command; --json is on every one.
func (c command) flags(t *terminal) (fs *flag.FlagSet, asJSON *bool) {
	fs = flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(t.err)
	asJSON = fs.Bool("json", false, "print the result as JSON")
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: cypherface %s %s\n\n%s\n\n%s\nflags:\n", c.name, c.args, c.summary, c.help)
		fs.PrintDefaults()
	}
	return fs, asJSON
}

// parse reads args into fs, flags and arguments in any order, and returns the
// arguments. Help that was asked for goes to out and is no error.
func parse(t *terminal, fs *flag.FlagSet, args []string) (rest []string, err error) {
	for _, a := range args {
		if a == "-h" || a == "--help" || a == "-help" {
			fs.SetOutput(t.out)
		}
	}
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, errHelp
			}
			return nil, errUsage
		}
		args = fs.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// errHelp ends a command whose help was printed; run treats it as done.
var errHelp = errors.New("help")

// printJSON writes v indented, as --json does everywhere.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress reports long work on a terminal in one line that is rewritten, and
// in a file or pipe as a line every ten seconds.
type progress struct {
	w     io.Writer
	label string
	tty   bool
	next  time.Time
}

func newProgress(w io.Writer, label string) *progress {
	p := &progress{w: w, label: label, next: time.Now().Add(10 * time.Second)}
	if f, ok := w.(*os.File); ok {
		st, err := f.Stat()
		p.tty = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	if p.tty {
		p.next = time.Time{}
	}
	return p
}

// step says that done of total units are done.
func (p *progress) step(done, total int) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	if p.tty {
		fmt.Fprintf(p.w, "\r%s %d of %d\x1b[K", p.label, done, total)
		p.next = now.Add(100 * time.Millisecond)
		return
	}
	fmt.Fprintf(p.w, "%s %d of %d\n", p.label, done, total)
	p.next = now.Add(10 * time.Second)
}

// end takes the line away again.
func (p *progress) end() {
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
