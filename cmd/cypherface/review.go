package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

func reviewCommand() command {
	return command{
		name: "review", args: "list|show|settle|merge|wrong|statistics [flags] [ID…]",
		summary: "duplicates, look-alikes and wrong matches, to be settled",
		help: `Lists what somebody has to look at: faces that two people have, people whom the
network takes for each other, decisions that were marked as wrong. settle says that
two are different, who are then not asked about again, or dismisses; merge makes one
person of two: it shows what would be, and does nothing more without --yes. There is
no way back from a merge.

  cypherface review list
  cypherface review show 5f0c0ffee0c0ffee0c0ffee0
  cypherface review settle 5f0c0ffee0c0ffee0c0ffee0 --outcome different_people
  cypherface review merge INTO FROM --fields email,phone --yes
  cypherface review wrong 1-4711 --actual 5f0c0ffee0c0ffee0c0ffee1
  cypherface review statistics
`,
		run: runReview,
	}
}

// review is one as the API shows it.
type review struct {
	ReviewID       string    `json:"reviewId"`
	Reason         string    `json:"reason"`
	State          string    `json:"state"`
	UserIDs        []string  `json:"userIds"`
	Similarity     float64   `json:"similarity,omitempty"`
	VerificationID string    `json:"verificationId,omitempty"`
	Cause          string    `json:"cause,omitempty"`
	CreatedAt      time.Time `json:"createdAt"`
	SettledAt      time.Time `json:"settledAt,omitzero"`
	Outcome        string    `json:"outcome,omitempty"`
	Users          []person  `json:"users,omitempty"`
}

type usersMerged struct {
	DryRun      bool   `json:"dryRun"`
	UserID      string `json:"userId"`
	From        string `json:"from"`
	User        person `json:"user"`
	Crops       int    `json:"crops"`
	Dropped     int    `json:"cropsDropped"`
	Grants      int    `json:"grants"`
	Credentials int    `json:"credentials"`
	PINsLost    int    `json:"pinsLost"`
	Consents    int    `json:"consents"`
	ErasureID   string `json:"erasureId,omitempty"`
}

type reviewFlags struct {
	boxFlags
	asJSON                                 *bool
	state, reason, outcome, fields, actual *string
	yes                                    *bool
}

func runReview(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := reviewCommand().flags(t)
	f := reviewFlags{
		boxFlags: addBoxFlags(fs, t), asJSON: asJSON,
		state:   fs.String("state", "open", "list: open or settled"),
		reason:  fs.String("reason", "", "list: duplicate, look_alike, conflict, wrong_match or ageing"),
		outcome: fs.String("outcome", "", "settle: different_people, updated (takes the proposed crop) or dismissed"),
		fields:  fs.String("fields", "", "merge: `fields` that count of FROM, with commas: firstname, lastname, email, phone, externalId, password"),
		actual:  fs.String("actual", "", "wrong: `id` of who it was"),
		yes:     fs.Bool("yes", false, "merge: do it"),
	}
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	verbs := map[string]int{"list": 1, "statistics": 1, "show": 2, "settle": 2, "wrong": 2, "merge": 3} // and how many words
	if len(words) == 0 || len(words) != verbs[words[0]] || (words[0] == "settle") != (*f.outcome != "") {
		fs.Usage()
		return errUsage
	}
	c, err := f.connect(ctx, t, words[0] == "merge" || *f.outcome == "updated")
	if err != nil {
		return err
	}
	defer c.Close()
	switch words[0] {
	case "list":
		return f.list(ctx, t, c)
	case "statistics":
		return f.statistics(ctx, t, c)
	case "show":
		return f.one(ctx, t, c, "GET", "/reviews/"+url.PathEscape(words[1])+"/", nil)
	case "settle":
		return f.one(ctx, t, c, "POST", "/reviews/"+url.PathEscape(words[1])+"/settle/", map[string]string{"outcome": *f.outcome})
	case "wrong":
		body := map[string]string{}
		if *f.actual != "" {
			body["actualUserId"] = *f.actual
		}
		return f.one(ctx, t, c, "POST", "/verifications/"+url.PathEscape(words[1])+"/wrong/", body)
	}
	return f.merge(ctx, t, c, words[1], words[2])
}

func (f *reviewFlags) list(ctx context.Context, t *terminal, c *client) error {
	all := []review{}
	for cursor := ""; ; {
		var page struct {
			Reviews    []review
			NextCursor string
		}
		q := query(map[string]string{"limit": "100", "cursor": cursor, "state": *f.state, "reason": *f.reason})
		if err := c.call(ctx, "GET", "/reviews/?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Reviews...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if *f.asJSON {
		return printJSON(t.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(t.err, "nothing to look at")
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tREASON\tSIMILARITY\tSINCE\tPEOPLE\tOUTCOME")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%s\t%s\t%s\n", r.ReviewID, r.Reason, r.Similarity, minute(r.CreatedAt), strings.Join(r.UserIDs, " "), r.Outcome)
	}
	return w.Flush()
}

func (f *reviewFlags) one(ctx context.Context, t *terminal, c *client, method, path string, body any) error {
	var out struct{ Review review }
	if err := c.call(ctx, method, path, body, &out); err != nil {
		return err
	}
	r := out.Review
	if *f.asJSON {
		return printJSON(t.out, r)
	}
	fmt.Fprintf(t.out, "%s  %s  %s  %s\n", r.ReviewID, r.Reason, r.State, r.Outcome)
	if r.VerificationID != "" {
		fmt.Fprintf(t.out, "decision  %s\n", r.VerificationID)
	}
	if len(r.Users) > 0 {
		return printPeople(t, r.Users)
	}
	return nil
}

func (f *reviewFlags) merge(ctx context.Context, t *terminal, c *client, into, from string) error {
	body := map[string]any{"from": from, "dryRun": !*f.yes}
	if *f.fields != "" {
		body["fields"] = strings.Split(*f.fields, ",")
	}
	var m usersMerged
	if err := c.call(ctx, "POST", "/users/"+url.PathEscape(into)+"/merge/", body, &m); err != nil {
		return err
	}
	if *f.asJSON {
		return printJSON(t.out, m)
	}
	fmt.Fprintf(t.out, "template of %d crops (%d too many), %d grants, %d cards and codes, %d consents; PINs to be given anew: %d\n", m.Crops, m.Dropped, m.Grants, m.Credentials, m.Consents, m.PINsLost)
	if err := printPeople(t, []person{m.User}); err != nil {
		return err
	}
	if m.DryRun {
		fmt.Fprintln(t.err, "nothing was changed; --yes does it, and there is no way back")
		return nil
	}
	fmt.Fprintf(t.out, "merged  %s  is no more, receipt %s\n", m.From, m.ErasureID)
	return nil
}

func (f *reviewFlags) statistics(ctx context.Context, t *terminal, c *client) error {
	var s struct {
		FalseMatches   struct{ Open, Confirmed, Dismissed int } `json:"falseMatches"`
		ImpostorProbes int                                      `json:"impostorProbes"`
		ImpostorBest   float64                                  `json:"impostorBest"`
		ImpostorShare  float64                                  `json:"impostorShare"`
		Open           int                                      `json:"open"`
	}
	if err := c.call(ctx, "GET", "/reviews/statistics/", nil, &s); err != nil {
		return err
	}
	if *f.asJSON {
		return printJSON(t.out, s)
	}
	fmt.Fprintf(t.out, "false matches told  %d confirmed, %d open, %d dismissed\nreviews open  %d\nimpostor scores since the start  %d searches, best %.2f, at 0.5 or above %.2f%%\n",
		s.FalseMatches.Confirmed, s.FalseMatches.Open, s.FalseMatches.Dismissed, s.Open, s.ImpostorProbes, s.ImpostorBest, 100*s.ImpostorShare)
	return nil
}
