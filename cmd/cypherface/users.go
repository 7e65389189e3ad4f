package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"text/tabwriter"
	"time"
)

func usersCommand() command {
	return command{
		name: "users", args: "list|show|export|delete [flags] [ID…]",
		summary: "the people the box knows",
		help: `Lists people, shows some, exports all that is held about one (a ZIP, or JSON with
--json), or erases some: their images, templates and all that tells about them. What
was erased does not come back; cypherface audit receipt has the receipt.

  cypherface users list
  cypherface users list --search lovelace --status enrolled --json
  cypherface users show 5f0c0ffee0c0ffee0c0ffee0
  cypherface users export 5f0c0ffee0c0ffee0c0ffee0 --out ada.zip
  cypherface users delete 5f0c0ffee0c0ffee0c0ffee0
`,
		run: runUsers,
	}
}

// person is a user as the API shows him.
type person struct {
	UserID     string    `json:"userId"`
	Firstname  string    `json:"firstname"`
	Lastname   string    `json:"lastname"`
	Email      string    `json:"email"`
	Phone      string    `json:"phone,omitempty"`
	ExternalID string    `json:"externalId,omitempty"`
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	EnrolledAt time.Time `json:"enrolledAt,omitzero"`
}

func runUsers(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := usersCommand().flags(t)
	box := addBoxFlags(fs, t)
	search := fs.String("search", "", "list: part of a name, e-mail address or external id")
	status := fs.String("status", "", "list: registered, enrolled or suspended")
	out := fs.String("out", "", "export: `file` to write; without it the terminal")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) == 0 || words[0] == "list" != (len(words) == 1) {
		fs.Usage()
		return errUsage
	}
	verb, ids := words[0], words[1:]
	if verb != "list" && verb != "show" && verb != "delete" && (verb != "export" || len(ids) != 1) {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var people []person
	switch verb {
	case "list":
		people, err = c.users(ctx, *search, *status)
	case "show":
		people, err = c.each(ctx, ids)
	case "export":
		return c.export(ctx, t, ids[0], *out, *asJSON)
	case "delete":
		return c.erase(ctx, t, ids, *asJSON)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, people)
	}
	return printPeople(t, people)
}

// users lists everybody who fits, page by page.
func (c *client) users(ctx context.Context, search, status string) ([]person, error) {
	all := []person{}
	for cursor := ""; ; {
		q := url.Values{"limit": {"100"}}
		for name, value := range map[string]string{"search": search, "status": status, "cursor": cursor} {
			if value != "" {
				q.Set(name, value)
			}
		}
		var page struct {
			Users      []person
			NextCursor string
		}
		if err := c.call(ctx, "GET", "/users/?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Users...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

func (c *client) user(ctx context.Context, id string) (person, error) {
	var out struct{ User person }
	if err := c.call(ctx, "GET", "/users/"+url.PathEscape(id), nil, &out); err != nil {
		return person{}, fmt.Errorf("show %s: %w", id, err)
	}
	return out.User, nil
}

func (c *client) each(ctx context.Context, ids []string) ([]person, error) {
	var all []person
	for _, id := range ids {
		p, err := c.user(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// export writes all that is held about a person, to a file that is there only when
// it is whole.
func (c *client) export(ctx context.Context, t *terminal, id, path string, asJSON bool) error {
	format := "zip"
	if asJSON {
		format = "json"
	}
	answer, err := c.send(ctx, "GET", "/users/"+url.PathEscape(id)+"/export/?format="+format, nil)
	if err != nil {
		return fmt.Errorf("export %s: %w", id, err)
	}
	defer answer.Close()
	if path == "" {
		if f, ok := t.out.(*os.File); ok && format == "zip" {
			if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
				return errors.New("a ZIP is not for a terminal: --out FILE, or --json")
			}
		}
		_, err = io.Copy(t.out, answer)
		return err
	}
	return writeWhole(t, path, func(w io.Writer) error {
		whole := &tail{w: w}
		if _, err := io.Copy(whole, answer); err != nil {
			return fmt.Errorf("the export broke off: %w (the log of the box says why)", err)
		}
		if !whole.ends(format) {
			return errors.New("the export broke off (the log of the box says why)")
		}
		return nil
	})
}

// tail remembers the end of what is written through it.
type tail struct {
	w   io.Writer
	end []byte
}

func (t *tail) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	t.end = append(t.end, b[:n]...)
	t.end = t.end[max(0, len(t.end)-zipEnd):]
	return n, err
}

// zipEnd is the length of the record that ends a ZIP without a comment.
const zipEnd = 22

// ends says whether an export came to its end.
func (t *tail) ends(format string) bool {
	if format == "zip" {
		return bytes.HasPrefix(t.end, []byte("PK\x05\x06"))
	}
	return bytes.HasSuffix(t.end, []byte("]}\n"))
}

func (c *client) erase(ctx context.Context, t *terminal, ids []string, asJSON bool) error {
	receipts := map[string]string{}
	for _, id := range ids {
		var out struct{ ErasureID string }
		if err := c.call(ctx, "DELETE", "/users/"+url.PathEscape(id), nil, &out); err != nil {
			return fmt.Errorf("erase %s: %w", id, err)
		}
		receipts[id] = out.ErasureID
		if !asJSON {
			fmt.Fprintf(t.out, "erased  %s  receipt %s\n", id, out.ErasureID)
		}
	}
	if asJSON {
		return printJSON(t.out, map[string]any{"erased": ids, "receipts": receipts})
	}
	return nil
}

func printPeople(t *terminal, people []person) error {
	if len(people) == 0 {
		fmt.Fprintln(t.err, "nobody (cypherface enrol adds people)")
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tE-MAIL\tSTATUS\tENROLLED")
	for _, p := range people {
		enrolled := "-"
		if !p.EnrolledAt.IsZero() {
			enrolled = p.EnrolledAt.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\n", p.UserID, p.Firstname, p.Lastname, p.Email, p.Status, enrolled)
	}
	return w.Flush()
}
