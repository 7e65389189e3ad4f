package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func retentionCommand() command {
	return command{
		name: "retention", args: "show|set|preview [flags] [CLASS=DAYS…]",
		summary: "how long what is kept",
		help: `Shows how long the box keeps each class of data and why, or changes it: 0 keeps it
for as long as the person is there, default is the default again. It acts by itself
once a day, and what went is counted in the audit log. set shows first what would go
now, and does nothing more without --yes.

  cypherface retention show
  cypherface retention preview inactive=730
  cypherface retention set inactive=730 reviews=default
  cypherface retention set inactive=730 --yes
`,
		run: runRetention,
	}
}

// retention is how long what is kept, as the API shows it.
type retention struct {
	Classes []struct {
		Name    string `json:"name"`
		Days    int    `json:"days"`
		Set     bool   `json:"set"`
		Default int    `json:"default"`
		What    string `json:"what"`
		Reason  string `json:"reason"`
		Cost    string `json:"cost,omitempty"`
	} `json:"classes"`
	Fixed []struct {
		Name string `json:"name"`
		Kept string `json:"kept"`
	} `json:"fixed"`
	InactiveSince time.Time      `json:"inactiveSince,omitzero"`
	LastPass      time.Time      `json:"lastPass,omitzero"`
	LastGone      map[string]int `json:"lastGone,omitempty"`
	Held          string         `json:"held,omitempty"`
}

type retentionPreview struct {
	WouldGo       map[string]int `json:"wouldGo"`
	NotSeen       int            `json:"notSeen"`
	InactiveSince time.Time      `json:"inactiveSince,omitzero"`
}

func runRetention(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := retentionCommand().flags(t)
	box := addBoxFlags(fs, t)
	yes := fs.Bool("yes", false, "set: do it")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) == 0 || !slices.Contains([]string{"show", "set", "preview"}, words[0]) || words[0] == "show" && len(words) > 1 || words[0] == "set" && len(words) == 1 {
		fs.Usage()
		return errUsage
	}
	days, err := readDays(words[1:])
	if err != nil {
		return err
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if words[0] != "show" {
		var p retentionPreview
		if err := c.call(ctx, "POST", "/merchant/retention/preview/", days, &p); err != nil {
			return err
		}
		if words[0] == "preview" || !*yes {
			if *asJSON {
				return printJSON(t.out, p)
			}
			p.print(t, days)
			if words[0] == "set" {
				fmt.Fprintln(t.err, "nothing was changed; --yes does it")
			}
			return nil
		}
	}
	method, body := "GET", any(nil)
	if words[0] == "set" {
		method, body = "PUT", days
	}
	var r retention
	if err := c.call(ctx, method, "/merchant/retention/", body, &r); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, r)
	}
	return r.print(t)
}

// readDays reads CLASS=DAYS.
func readDays(words []string) (map[string]*int, error) {
	days := map[string]*int{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if value == "default" {
			days[name] = nil
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("%s is not like inactive=730 or inactive=default", w)
		}
		days[name] = &n
	}
	return days, nil
}

func (p *retentionPreview) print(t *terminal, days map[string]*int) {
	if len(p.WouldGo) == 0 {
		fmt.Fprintln(t.out, "nothing would go now")
	}
	for _, class := range slices.Sorted(maps.Keys(p.WouldGo)) {
		fmt.Fprintf(t.out, "would go now  %s  %d\n", class, p.WouldGo[class])
	}
	if n := days["inactive"]; n != nil && *n > 0 {
		fmt.Fprintf(t.out, "not seen for %d days  %d people; such days count from %s on\n", *n, p.NotSeen, minute(p.InactiveSince))
	}
}

func (r *retention) print(t *terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLASS\tKEPT\tWHAT\tWHY")
	for _, c := range r.Classes {
		kept, why := "with the person", c.Reason
		if c.Days > 0 {
			kept = fmt.Sprintf("%d days", c.Days)
		}
		if c.Set {
			why = "set"
			if c.Cost != "" && c.Days > 0 {
				why += "; it costs: " + c.Cost
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, kept, c.What, why)
	}
	for _, f := range r.Fixed {
		fmt.Fprintf(w, "-\t%s\t%s\t\n", f.Kept, f.Name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Held != "" {
		fmt.Fprintln(t.err, r.Held)
	}
	return nil
}
