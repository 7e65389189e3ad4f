package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"text/tabwriter"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func envCommand() command {
	return command{
		name: "env", args: "list|enable [flags] [ENVIRONMENT]",
		summary: "the sandbox and the production environment of a box",
		help: `A box has a sandbox, and production once it is enabled. They share nothing:
people, keys, cameras, secrets and addresses are those of one alone, and a
credential of one is refused by the other. Enabling production makes its first
merchant and a key, which is shown this once; a box that runs serves it at once.

  cypherface env list
  cypherface env enable production
  cypherface users list --env production
`,
		run: runEnv,
	}
}

func runEnv(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := envCommand().flags(t)
	box := addBoxFlags(fs, t)
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(words) == 1 && words[0] == "list":
		return listEnvironments(ctx, t, box, *asJSON)
	case len(words) == 2 && words[0] == "enable":
		return enableEnvironment(ctx, t, box, store.Environment(words[1]), *asJSON)
	}
	fs.Usage()
	return errUsage
}

func listEnvironments(ctx context.Context, t *terminal, box boxFlags, asJSON bool) error {
	list, err := box.environments(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, list)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, e := range list {
		words := "not enabled (cypherface env enable " + string(e.Environment) + ")"
		switch {
		case e.Ready:
			words = fmt.Sprintf("%s\t%d people, camera %s", e.URL, e.People, e.Camera)
		case e.Enabled:
			words = "enabled, " + e.Reason
		}
		fmt.Fprintf(w, "%s\t%s\n", e.Environment, words)
		if e.Fingerprint != "" {
			fmt.Fprintf(w, "\tcertificate %s\n\tcurl --pinnedpubkey '%s'\n", e.Fingerprint, e.Pin)
		}
	}
	return w.Flush()
}

// environments asks the daemon which environments there are, or looks.
func (f boxFlags) environments(ctx context.Context) ([]api.Environment, error) {
	if f.running() {
		var out struct{ Environments []api.Environment }
		err := socketClient(f.socket(), store.Sandbox).call(ctx, "GET", "/control/environments", nil, &out)
		return out.Environments, err
	}
	var list []api.Environment
	for _, env := range environments {
		_, err := os.Stat(bolt.Path(*f.data, env))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		e := api.Environment{Environment: env, Enabled: err == nil || env == store.Sandbox}
		if e.Enabled {
			e.Reason = "no daemon is running"
		}
		list = append(list, e)
	}
	return list, nil
}

// running reports whether a daemon answers on the control socket.
func (f boxFlags) running() bool {
	conn, err := net.Dial("unix", f.socket())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func enableEnvironment(ctx context.Context, t *terminal, box boxFlags, env store.Environment, asJSON bool) error {
	if env != store.Production {
		return fmt.Errorf("enable %q: the sandbox is always there, and production is the only other environment", env)
	}
	var first api.FirstKey
	var err error
	if box.running() {
		err = socketClient(box.socket(), store.Sandbox).call(ctx, "POST", "/control/environments/"+string(env), nil, &first)
	} else {
		first, err = box.enable(ctx, t, env)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, first)
	}
	where := first.URL
	if where == "" {
		where = "served from the next start of the box on"
	}
	if first.Fingerprint != "" {
		where += "\ncertificate " + first.Fingerprint
	}
	fmt.Fprintf(t.out, "enabled     %s, %s\nmerchantId  %s\napiKey      %s\n\nThe key is shown this once.\n", env, where, first.MerchantID, first.APIKey)
	return nil
}

// enable makes an environment while no daemon runs.
func (f boxFlags) enable(ctx context.Context, t *terminal, env store.Environment) (first api.FirstKey, err error) {
	if _, err := os.Stat(bolt.Path(*f.data, store.Sandbox)); err != nil {
		return first, fmt.Errorf("enable %s: there is no box in %s (cypherfaced --data %s starts one; --data DIR names another)", env, *f.data, *f.data)
	}
	master, err := f.master(t)
	if err != nil {
		return first, err
	}
	s, err := bolt.Open(bolt.Path(*f.data, env), bolt.Options{Environment: env, Keyring: seal.Opener(env, master)})
	if err != nil {
		return first, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	authority, err := auth.Open(ctx, s, nil)
	if err != nil {
		return first, err
	}
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: fmt.Sprint(os.Getuid())}}
	m, apiKey, err := authority.Found(ctx, cause, "Production", nil)
	if errors.Is(err, store.ErrConflict) {
		return first, fmt.Errorf("enable %s: it is enabled already", env)
	}
	return api.FirstKey{Environment: env, MerchantID: m, APIKey: apiKey}, err
}
