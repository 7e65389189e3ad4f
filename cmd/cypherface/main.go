// Command cypherface is the operator's and integrator's tool: it compares and
// finds faces in files, measures the networks, manages packs, and talks to a
// running box through its control socket.
//
// Every command takes --help and --json. The exit status is 0 for yes or done,
// 1 for no (verify: no match), 2 for an error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}))
}

// terminal is what a command may touch of the outside: tests hand in buffers.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
}

// A command is one word of the command line.
type command struct {
	name    string // as typed
	args    string // what follows it in the usage line
	summary string // one line for the list
	help    string // what it does and examples, for --help
	run     func(ctx context.Context, t *terminal, args []string) error
	hidden  bool // not listed: for the program's own use
}

// errNo ends a command with status 1: it worked, and the answer is no.
var errNo = errors.New("no")

// errUsage ends a command with status 2 after its usage was printed.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, t *terminal) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		usage(t.out)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	name, rest := args[0], args[1:]
	if name == "help" {
		name, rest = rest[0], []string{"--help"}
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		switch err := c.run(ctx, t, rest); {
		case err == nil || errors.Is(err, errHelp):
			return 0
		case errors.Is(err, errNo):
			return 1
		case errors.Is(err, errUsage):
			return 2
		default:
			fmt.Fprintf(t.err, "cypherface %s: %v\n", name, err)
			return 2
		}
	}
	fmt.Fprintf(t.err, "cypherface: unknown command %q; cypherface --help lists them\n", name)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "cypherface: faces, people and packs of a CypherFace Edge box\n\nusage: cypherface COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(w, "  %-12s %s\n", c.name, c.summary)
		}
	}
	fmt.Fprint(w, "\ncypherface COMMAND --help shows its flags and examples.\n")
}
