package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

func mailCommand() command {
	return command{
		name: "mail", args: "status|codes|test|password [flags]",
		summary: "how mail leaves the box, and the codes where it does not",
		help: `status    whether a relay is set, and how many mails wait
codes     takes the mails that wait out of the queue and shows them, with the codes to
          hand on: where no relay is set, or it does not work. Each is shown once
test      sends a mail now, and says what the relay answers
password  keeps the password for the relay in the box's store, encrypted; it is one line
          of standard input. With --forget it is removed

The relay itself is set in the daemon's settings: smtp, smtp-from, smtp-user.

  cypherface mail codes
  cypherface mail test --to ada@example.org
  cypherface mail password < password.txt
`,
		run: runMail,
	}
}

func runMail(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := mailCommand().flags(t)
	box := addBoxFlags(fs, t)
	to := fs.String("to", "", "test: `address` that the mail goes to")
	forget := fs.Bool("forget", false, "password: remove it")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) != 1 || (words[0] == "test") != (*to != "") || *forget && words[0] != "password" {
		fs.Usage()
		return errUsage
	}
	run := map[string]func(*client) error{
		"status":   func(c *client) error { return c.mailStatus(ctx, t, *asJSON) },
		"codes":    func(c *client) error { return c.mailCodes(ctx, t, *asJSON) },
		"test":     func(c *client) error { return c.mailTest(ctx, t, *to, *asJSON) },
		"password": func(c *client) error { return c.mailPassword(ctx, t, *forget, *asJSON) },
	}[words[0]]
	if run == nil {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	return run(c)
}

func (c *client) mailStatus(ctx context.Context, t *terminal, asJSON bool) error {
	var out struct {
		Relay   bool `json:"relay"`
		Waiting int  `json:"waiting"`
	}
	if err := c.call(ctx, "GET", "/control/mail", nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out)
	}
	relay := "no relay is set (setting smtp); cypherface mail codes shows what waits"
	if out.Relay {
		relay = "a relay is set"
	}
	fmt.Fprintf(t.out, "%s\n%d waiting\n", relay, out.Waiting)
	return nil
}

func (c *client) mailCodes(ctx context.Context, t *terminal, asJSON bool) error {
	var out struct {
		Letters []struct {
			To      string    `json:"to"`
			Subject string    `json:"subject"`
			Text    string    `json:"text"`
			Expires time.Time `json:"expires"`
		}
	}
	if err := c.call(ctx, "POST", "/control/mail/codes", nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out.Letters)
	}
	if len(out.Letters) == 0 {
		fmt.Fprintln(t.err, "nothing waits")
		return nil
	}
	for _, l := range out.Letters {
		fmt.Fprintf(t.out, "To: %s\nSubject: %s\n\n  %s\n\n", l.To, l.Subject, strings.ReplaceAll(strings.TrimSpace(l.Text), "\n", "\n  "))
	}
	return nil
}

func (c *client) mailTest(ctx context.Context, t *terminal, to string, asJSON bool) error {
	var out struct {
		Milliseconds int64 `json:"milliseconds"`
	}
	if err := c.call(ctx, "POST", "/control/mail/test", map[string]string{"to": to}, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out)
	}
	fmt.Fprintf(t.out, "the relay took it after %d ms\n", out.Milliseconds)
	return nil
}

func (c *client) mailPassword(ctx context.Context, t *terminal, forget, asJSON bool) error {
	password := ""
	if !forget {
		var err error
		if password, err = readPassword(t); err != nil {
			return err
		}
	}
	if err := c.call(ctx, "PUT", "/control/mail/password", map[string]string{"password": password}, &struct{}{}); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, map[string]bool{"kept": !forget})
	}
	if forget {
		fmt.Fprintln(t.out, "forgotten")
	} else {
		fmt.Fprintln(t.out, "kept; cypherface mail test --to ADDRESS tries it")
	}
	return nil
}
