package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

func joinCommand() command {
	return command{
		name: "join", args: "CODE [--adopt|--hold|--erase] [flags]",
		summary: "make this box one of a central's",
		help: `Joins the central of a claim code, which cypherface-central claim shows once. The
box makes a key of its own, and from then on has the people, doors and grants of
its site from the central, and sends it what happens. With people on the box, say
what becomes of them: adopted (they go up to the central), held (they match no more
until an operator has looked), or erased.

  cypherface join CFJ1-…
  cypherface join CFJ1-… --adopt --name "north gate" --env production
`,
		run: runJoin,
	}
}

func leaveCommand() command {
	return command{
		name: "leave", args: "[flags]",
		summary: "undo join: this box stands alone again",
		help: `Tells the central, where it can be reached, and keeps what is on the box.

  cypherface leave --env production
`,
		run: runLeave,
	}
}

func syncCommand() command {
	return command{
		name: "sync", args: "status|now|adopt [USERID…]|rotate [flags]",
		summary: "how the box stands with its central",
		help: `status says what is where, how old, and why. now has a box that waits for its next
try connect at once. adopt has people who were held when the box joined go up to the
central, all of them or those that are named. rotate changes the box's credential for the central.

  cypherface sync status --json
  cypherface sync now
  cypherface sync adopt
`,
		run: runSync,
	}
}

// syncState is the answer of GET /sync/status/ on a box.
type syncState struct {
	Joined       bool      `json:"joined"`
	Address      string    `json:"address,omitempty"`
	CentralID    string    `json:"centralId,omitempty"`
	SiteID       string    `json:"siteId,omitempty"`
	Phase        string    `json:"phase,omitempty"`
	Why          string    `json:"why,omitempty"`
	Events       uint64    `json:"events"`
	Sent         uint64    `json:"sent"`
	Revision     uint64    `json:"revision"`
	Behind       uint64    `json:"behind"`
	Snapshot     bool      `json:"snapshot,omitempty"`
	Synced       bool      `json:"synced"`
	Match        bool      `json:"match"`
	Revoked      bool      `json:"revoked,omitempty"`
	AgeSeconds   float64   `json:"ageSeconds"`
	LimitSeconds float64   `json:"limitSeconds"`
	Stale        bool      `json:"stale,omitempty"`
	AppliedAt    time.Time `json:"appliedAt,omitzero"`
}

func runJoin(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := joinCommand().flags(t)
	box := addBoxFlags(fs, t)
	name := fs.String("name", "", "`name` of this box at the central; empty: that of the machine")
	choices := map[string]*bool{
		"adopt": fs.Bool("adopt", false, "people on this box go up to the central"),
		"hold":  fs.Bool("hold", false, "people on this box match no more until an operator has looked"),
		"erase": fs.Bool("erase", false, "people on this box are erased"),
	}
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	var people []string
	for choice, chosen := range choices {
		if *chosen {
			people = append(people, choice)
		}
	}
	if len(words) == 0 || len(people) > 1 {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := map[string]string{"code": strings.Join(words, " "), "name": *name, "people": strings.Join(people, "")}
	var s syncState
	if err := c.call(ctx, "POST", "/control/join", sent, &s); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, s)
	}
	fmt.Fprintf(t.out, "joined the central at %s (cypherface sync status says how it goes)\n", s.Address)
	return nil
}

func runLeave(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := leaveCommand().flags(t)
	box := addBoxFlags(fs, t)
	if words, err := parse(t, fs, args); err != nil {
		return err
	} else if len(words) > 0 {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var answer struct {
		Told bool `json:"told"`
	}
	if err := c.call(ctx, "POST", "/control/leave", nil, &answer); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, answer)
	}
	fmt.Fprintln(t.out, "this box stands alone again")
	if !answer.Told {
		fmt.Fprintln(t.out, "the central could not be told: revoke this box there (cypherface-central devices)")
	}
	return nil
}

func runSync(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := syncCommand().flags(t)
	box := addBoxFlags(fs, t)
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) == 0 || len(words) > 1 && words[0] != "adopt" {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var done struct {
		Success bool `json:"success"`
	}
	switch words[0] {
	case "status":
		return c.syncStatus(ctx, t, *asJSON)
	case "now":
		err = c.call(ctx, "POST", "/sync/now/", nil, &done)
	case "adopt":
		return c.syncAdopt(ctx, t, *asJSON, words[1:])
	case "rotate":
		err = c.call(ctx, "POST", "/control/join/rotate", nil, &done)
	default:
		fs.Usage()
		return errUsage
	}
	if err == nil && *asJSON {
		return printJSON(t.out, done)
	}
	return err
}

func (c *client) syncAdopt(ctx context.Context, t *terminal, asJSON bool, ids []string) error {
	var done struct {
		Adopted int `json:"adopted"`
	}
	if err := c.call(ctx, "POST", "/sync/adopt/", map[string][]string{"userIds": ids}, &done); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, done)
	}
	_, err := fmt.Fprintf(t.out, "%d people go up to the central\n", done.Adopted)
	return err
}

func (c *client) syncStatus(ctx context.Context, t *terminal, asJSON bool) error {
	var s syncState
	if err := c.call(ctx, "GET", "/sync/status/", nil, &s); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, s)
	}
	if !s.Joined {
		fmt.Fprintln(t.out, "this box has joined no central (cypherface join CODE)")
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "central\t%s, site %s\n", s.Address, s.SiteID)
	fmt.Fprintf(w, "connection\t%s\n", strings.TrimSuffix(s.Phase+": "+s.Why, ": "))
	fmt.Fprintf(w, "events\t%d, of which the central has %d\n", s.Events, s.Sent)
	behind := "all that the central has, as far as is known"
	if s.Behind > 0 {
		behind = fmt.Sprintf("%d behind", s.Behind)
	}
	if s.Snapshot {
		behind += ", everything comes anew"
	}
	fmt.Fprintf(w, "people\trevision %d, %s\n", s.Revision, behind)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)).Round(time.Second) }
	age := "up to date"
	if !s.Synced {
		age = seconds(s.AgeSeconds).String()
	}
	if s.LimitSeconds > 0 {
		age += fmt.Sprintf(", nobody passes from %v on", seconds(s.LimitSeconds))
	} else {
		age += ", no limit: whoever lost a grant may pass for as long as this box is cut off (cypherface-central policy --stale-after)"
	}
	fmt.Fprintf(w, "age\t%s\n", age)
	switch {
	case s.Stale:
		fmt.Fprintf(w, "matching\tno: what the box has of its central is too old\n")
	case s.Revoked:
		fmt.Fprintf(w, "matching\tno: the central's operator revoked this box\n")
	case !s.Match:
		fmt.Fprintf(w, "matching\tno: the box catches up first\n")
	}
	return w.Flush()
}
