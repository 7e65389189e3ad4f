package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/models"
)

// migrationState is the answer of GET /migration/.
type migrationState struct {
	Migration api.Migration `json:"migration"`
	Users     []struct {
		UserID string `json:"userId"`
		Reason string `json:"reason"`
	} `json:"users"`
	NextCursor string `json:"nextCursor,omitempty"`
}

func modelsUseCommand() command {
	c := command{name: "models use", args: "[flags] NAME",
		summary: "choose the pack of this box",
		help: `The pack is tried in a process of its own first; one that fails is refused and
the box stays on the pack it has. Then a running box begins to embed everyone anew
from the stored crops, and goes on recognising people with the pack of before until
nobody is missing; so does one that is started later. cypherface models status shows
how far it is. Until the switch, choosing the pack of before takes everything back.

  cypherface models use standard
  cypherface models use --previous standard     as it was before its last change
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		box := addBoxFlags(fs, t)
		previous := fs.Bool("previous", false, "go back to what the pack was before its last change")
		rest, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if len(rest) != 1 || rest[0] != filepath.Base(rest[0]) {
			fs.Usage()
			return errUsage
		}
		p, err := usePack(ctx, models.Root(*box.packs, t.getenv), rest[0], *previous)
		if err != nil {
			return err
		}
		told, err := box.reloadPacks(ctx, p.Name)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t.out, describeInstalled(p, p.Name))
		}
		printPack(t.out, told, &p.Manifest)
		return nil
	}
	return c
}

// reloadPacks has a running box go over to the pack that was chosen, and says what
// comes of it.
func (f boxFlags) reloadPacks(ctx context.Context, name string) (told string, err error) {
	if !f.running() {
		return "in use from the next start:", nil
	}
	var out struct {
		Pack      string
		Migration api.Migration
	}
	if err := socketClient(f.socket(), f.environment()).call(ctx, "POST", "/control/models/reload", nil, &out); err != nil {
		return "", fmt.Errorf("the pack is chosen, but the running box did not take it: %w", err)
	}
	switch m := out.Migration; {
	case out.Pack != name:
		return "", fmt.Errorf("the running box has pack %s: its packs are in another folder (--packs names it)", out.Pack)
	case m.ToPack != "":
		return "chosen; people are being embedded anew, and answer by pack " + m.Pack + " until that is done (cypherface models status):", nil
	}
	return "in use:", nil
}

func modelsStatusCommand() command {
	c := command{name: "models status", args: "[flags]",
		summary: "how a change of the pack stands, and who has to be enrolled again",
		help: `Shows the pack that the running box recognises people with, how far a change to
another is, and who has no picture that the new pack could use. They hold up the
switch and answer as before until they are enrolled again, or until cypherface
models finish leaves them behind. Exit status: 0 nothing is under way, 1 a change
is, or somebody is left.

  cypherface models status
  cypherface models status --env production --json
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		box := addBoxFlags(fs, t)
		if err := noArguments(t, fs, args); err != nil {
			return err
		}
		if !box.running() {
			return errors.New("show the change of the pack: no daemon is running, and nothing is changed")
		}
		s, err := socketClient(box.socket(), box.environment()).migration(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(t.out, s)
		} else {
			s.print(t.out)
		}
		if err == nil && (s.Migration.Stage != "none" || s.Migration.Left > 0) {
			err = errNo
		}
		return err
	}
	return c
}

// migration reads how a change of the pack stands, with everybody who is left.
func (c *client) migration(ctx context.Context) (all migrationState, err error) {
	for next := ""; ; {
		var page migrationState
		if err := c.call(ctx, "GET", "/migration/?limit=1000"+next, nil, &page); err != nil {
			return all, err
		}
		page.Users = append(all.Users, page.Users...)
		if all = page; page.NextCursor == "" {
			return all, nil
		}
		next = "&cursor=" + page.NextCursor
	}
}

func (s *migrationState) print(w io.Writer) {
	m := s.Migration
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "answers\tpack %s\tspace %s\n", m.Pack, m.Space)
	if m.ToPack != "" {
		fmt.Fprintf(tw, "to come\tpack %s\tspace %s\n", m.ToPack, m.ToSpace)
	}
	tw.Flush()
	switch m.Stage {
	case "embedding":
		fmt.Fprintf(w, "%d of %d people are embedded", m.Done, m.People)
		if m.Rate > 0 {
			fmt.Fprintf(w, ", %.1f a second", m.Rate)
		}
		if m.Remaining > 0 {
			fmt.Fprintf(w, ", some %v to go", time.Duration(m.Remaining)*time.Second)
		}
		fmt.Fprintln(w)
		if m.Incomplete {
			fmt.Fprintln(w, "a search may miss people until then: the pack of before is not there")
		}
	case "waiting":
		fmt.Fprintf(w, "%d of %d people are embedded; the switch waits for the others (cypherface models finish leaves them behind)\n", m.Done, m.People)
	case "removing":
		fmt.Fprintln(w, "templates that are needed no more are being removed")
	}
	if m.Left > 0 {
		fmt.Fprintf(w, "\n%d people have to be enrolled again", m.Left)
		if n := m.Left - len(s.Users); n > 0 {
			fmt.Fprintf(w, ", %d of them of other merchants", n)
		}
		fmt.Fprintln(w)
	}
	for _, u := range s.Users {
		fmt.Fprintf(w, "  %s  %s\n", u.UserID, u.Reason)
	}
}

func modelsFinishCommand() command {
	c := command{name: "models finish", args: "[flags]",
		summary: "end a change of the pack without the people who hold it up",
		help: `Has the new pack answer although somebody has no picture that it could use. Who
is left behind is found by no search any more, until he is enrolled again; choosing
the old pack again brings him back.

  cypherface models status
  cypherface models finish
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		box := addBoxFlags(fs, t)
		if err := noArguments(t, fs, args); err != nil {
			return err
		}
		if !box.running() {
			return errors.New("finish the change of the pack: no daemon is running")
		}
		var out struct {
			Left      int           `json:"left"`
			Migration api.Migration `json:"migration"`
		}
		if err := socketClient(box.socket(), box.environment()).call(ctx, "POST", "/control/models/finish", nil, &out); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t.out, out)
		}
		fmt.Fprintf(t.out, "people are recognised with pack %s; %d are left behind (cypherface models status)\n", out.Migration.Pack, out.Left)
		return nil
	}
	return c
}

// packMemory is what the networks of a pack take.
type packMemory struct {
	Pack  string `json:"pack"`
	Bytes int64  `json:"bytes"` // resident, on top of what was there
}

func modelsMemoryCommand() command {
	c := command{name: "models memory", args: "[--packs DIR] [NAME…]",
		summary: "what the networks of packs take in memory, one beside the other",
		help: `Loads the packs one after the other, as a box does while it changes its pack, has
each recognise the golden faces with as many interpreters as there are cores, and
shows how much the process has grown.

  cypherface models memory
  cypherface models memory basic standard --json
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		names, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			packs, err := models.Installed(root())
			if err != nil {
				return err
			}
			for _, p := range packs {
				names = append(names, p.Name)
			}
		}
		var all []packMemory
		for _, name := range names {
			bytes, release, err := loadedSize(ctx, root(), name)
			if err != nil {
				return err
			}
			defer release()
			all = append(all, packMemory{name, bytes})
		}
		if *asJSON {
			return printJSON(t.out, all)
		}
		for _, p := range all {
			fmt.Fprintf(t.out, "%-12s %4d MiB\n", p.Pack, p.Bytes>>20)
		}
		return nil
	}
	return c
}

// loadedSize loads a pack and says by how much the process has grown.
func loadedSize(ctx context.Context, root, name string) (grown int64, release func() error, err error) {
	if name != filepath.Base(name) {
		return 0, nil, fmt.Errorf("load pack %q: no pack's name", name)
	}
	p, err := models.Open(filepath.Join(root, name))
	if err != nil {
		return 0, nil, err
	}
	if err := tflite.ProbeOnce(ctx, "", p); err != nil {
		return 0, nil, err
	}
	before, err := resident()
	if err != nil {
		return 0, nil, err
	}
	e, networks, err := tflite.OpenEngine(p, tflite.Options{})
	if err != nil {
		return 0, nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) { // each has an interpreter of its own
		g.Go(func() error { return tflite.SelfTest(gctx, e, p) })
	}
	if err := g.Wait(); err != nil {
		return 0, nil, errors.Join(err, networks.Close())
	}
	after, err := resident()
	return after - before, networks.Close, err
}

// resident is how much of this process is in memory, in bytes.
func resident() (int64, error) {
	debug.FreeOSMemory() // what is not needed any more
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0, errors.New("read /proc/self/statm: not as expected")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
