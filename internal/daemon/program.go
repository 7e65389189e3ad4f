// Package daemon is what cypherfaced and cypherface-central are made of: settings,
// the environments with their stores, keys, listeners and APIs, life cycle. Both
// are the same parts wired differently, by their Program.
//
//	func main() { daemon.Main(daemon.Box) }
//
// It holds no logic of its own: what a part does is in the part's package.
package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cypherface/edge/engine/tflite"
)

// A Program is one of the two daemons.
type Program struct {
	name    string // of the command
	what    string // it runs, in words
	title   string // for people
	more    string // that its help says
	central bool   // boxes join it; it has no cameras of its own
	data    string // default folder,
	listen  string // address of the sandbox
	secure  string // and of production,
	tls     string // and certificate of the sandbox
}

// The programs there are. A central always speaks TLS: its boxes know it by the
// key of its certificate.
var (
	Box = Program{
		name: "cypherfaced", what: "a CypherFace Edge box", title: "CypherFace Edge",
		data: "data", listen: "127.0.0.1:8080", secure: "127.0.0.1:8443", tls: "auto",
	}
	Central = Program{
		name: "cypherface-central", what: "a CypherFace central", title: "CypherFace Central", central: true, more: `
With one that runs:

  cypherface-central claim --site door-7    a code with which a box joins
  cypherface-central sites                  the sites, their boxes and revisions
  cypherface-central devices                the boxes; devices revoke ID
  cypherface-central keys                   API keys, also for all boxes of a site
  cypherface-central policy                 how old the data of a box may be
  cypherface-central bench --json           what this machine can take

Each shows its flags and examples with --help.
`,
		data: "central", listen: "127.0.0.1:9080", secure: "127.0.0.1:9443", tls: "own",
	}
)

// Main is the main function of a program: it runs until a signal. The first lets
// requests end, a second one does not wait.
func Main(p Program) {
	if code, asked := tflite.ProbeMain(context.Background(), os.Args[1:], os.Stdout, os.Stderr); asked {
		os.Exit(code)
	}
	hideMemory(p.name, os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal does what it does by itself
	if err := run(ctx, p, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, p.name+":", err)
		os.Exit(1)
	}
}
