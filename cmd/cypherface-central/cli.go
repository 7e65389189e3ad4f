package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// A command is something to do with a central that runs.
type command struct {
	args, help string
	run        func(*client, context.Context, []string) error
}

var commands = map[string]command{
	"claim": {"--site NAME [--name BOX] [--life 24h] [--address HOST:PORT]", `Makes a code with which one box may join a site, and shows it once. A site that is
not there yet is made. The code carries the central's address, which --address
overrides, and the fingerprint of its key.

  cypherface-central claim --site door-7
  cypherface-central claim --site door-7 --life 1h --address central.example:9080 --json`, (*client).makeClaim},
	"sites": {"", `Lists the sites, their boxes and revisions.

  cypherface-central sites --json`, (*client).listSites},
	"policy": {"[--stale-after 72h]", `Shows how old what a box has of this central may be before it lets nobody pass, or
sets it, in whole hours; 0 sets no limit. Without one, whoever lost a grant passes
for as long as a box is cut off.

  cypherface-central policy --stale-after 72h`, (*client).policy},
	"keys": {"[create --fleet --site NAME [--name KEY] [--scopes match,detect] | revoke ID]", `Lists the API keys of the central, makes one, or revokes one. With --fleet the key is
good at all boxes of a site, once they have heard of it, and nowhere else; it is shown
this once. A revoked one ends on a box as soon as the box hears of it.

  cypherface-central keys create --fleet --site door-7 --name kiosk --scopes match,detect
  cypherface-central keys revoke 1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff`, (*client).keys},
	"devices": {"[revoke ID]", `Lists the boxes: what each has, how far it is behind, when it was last seen, whether
its journal is what its signed checkpoints say, and how it last was; or revokes
one, from which nothing is taken any more.

  cypherface-central devices
  cypherface-central devices revoke 93b40b35-6e39-43e5-adee-0f8205ad5d2d`, (*client).listDevices},
}

// client speaks to a central through its control socket.
type client struct {
	http   http.Client
	env    string
	out    io.Writer
	asJSON bool

	site, name, address string
	scopes              string
	fleet               bool
	life, staleAfter    time.Duration
}

var errUsage = errors.New("see --help")

// runCommand does what args name; false means that they name no command.
func runCommand(ctx context.Context, args []string, out io.Writer) (known bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	if args[0] == "bench" {
		return true, bench(ctx, args[1:], out)
	}
	cmd, known := commands[args[0]]
	if !known {
		return false, nil
	}
	c := &client{out: out}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() {
		fmt.Fprintf(out, "usage: cypherface-central %s %s\n\n%s\n\nflags:\n", args[0], cmd.args, cmd.help)
		fs.PrintDefaults()
	}
	data := fs.String("data", "central", "`folder` of the central's data")
	fs.StringVar(&c.env, "env", "sandbox", "`environment`: sandbox or production")
	fs.BoolVar(&c.asJSON, "json", false, "print the result as JSON")
	if args[0] == "claim" {
		fs.StringVar(&c.site, "site", "", "`name` or id of the site")
		fs.StringVar(&c.name, "name", "", "`name` of the box that is to come")
		fs.StringVar(&c.address, "address", "", "`host:port` where the box reaches this central; empty: as it listens")
		fs.DurationVar(&c.life, "life", 24*time.Hour, "how long the code is good for")
	}
	if args[0] == "keys" {
		fs.BoolVar(&c.fleet, "fleet", false, "create: a key for the boxes of a site, and not for the central")
		fs.StringVar(&c.site, "site", "", "create --fleet: `name` or id of the site")
		fs.StringVar(&c.name, "name", "", "create: `name` of the key")
		fs.StringVar(&c.scopes, "scopes", "", "create: `permissions` of the key, with commas; none: all")
	}
	if args[0] == "policy" {
		fs.DurationVar(&c.staleAfter, "stale-after", -1, "the `age` from which boxes let nobody pass; 0: none")
	}
	words, err := parse(fs, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return true, nil
	} else if err != nil {
		return true, errUsage
	}
	socket := filepath.Join(*data, "control.sock")
	if _, err := os.Stat(socket); err != nil {
		return true, fmt.Errorf("reach the central: none is running in %s (cypherface-central --data %s starts one; --data DIR names another)", *data, *data)
	}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer c.http.CloseIdleConnections()
	return true, cmd.run(c, ctx, words)
}

// parse reads flags and words in any order.
func parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return words, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

// call asks the central; an answer that is no success is an error in its words.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	raw := []byte("{}")
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.env+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the central: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		var said struct {
			Message string `json:"message"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || said.Message == "" {
			return fmt.Errorf("the central answered %s", resp.Status)
		}
		return errors.New(said.Message)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// print prints v as JSON, or by what fn writes into a table.
func (c *client) print(v any, fn func(w io.Writer)) error {
	if c.asJSON {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fn(w)
	return w.Flush()
}

type site struct {
	SiteID   string `json:"siteId"`
	Name     string `json:"name"`
	People   string `json:"people"`
	Revision uint64 `json:"revision"`
	Devices  int    `json:"devices"`
}

func (c *client) sites(ctx context.Context) ([]site, error) {
	var list struct {
		Sites []site `json:"sites"`
	}
	err := c.call(ctx, "GET", "/sites/", nil, &list)
	return list.Sites, err
}

func (c *client) listSites(ctx context.Context, words []string) error {
	list, err := c.sites(ctx)
	if err != nil || len(words) > 0 {
		return errors.Join(err, usageIf(len(words) > 0))
	}
	return c.print(list, func(w io.Writer) {
		fmt.Fprintln(w, "SITE\tNAME\tPEOPLE\tBOXES\tREVISION")
		for _, s := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", s.SiteID, s.Name, s.People, s.Devices, s.Revision)
		}
	})
}

func usageIf(wrong bool) error {
	if wrong {
		return errUsage
	}
	return nil
}

// findSite returns the id of a site by its name or id, and makes one where no site
// has the name.
func (c *client) findSite(ctx context.Context) (string, error) {
	list, err := c.sites(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range list {
		if s.SiteID == c.site || s.Name == c.site {
			return s.SiteID, nil
		}
	}
	var made site
	err = c.call(ctx, "POST", "/sites/", map[string]string{"name": c.site}, &made)
	return made.SiteID, err
}

func (c *client) makeClaim(ctx context.Context, words []string) error {
	if c.site == "" || len(words) > 0 {
		return fmt.Errorf("make a claim: name the site with --site (%w)", errUsage)
	}
	id, err := c.findSite(ctx)
	if err != nil {
		return err
	}
	var made struct {
		Code      string    `json:"code"`
		Address   string    `json:"address"`
		ClaimID   string    `json:"claimId"`
		SiteID    string    `json:"siteId"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	sent := map[string]any{"siteId": id, "name": c.name, "lifeSeconds": int64(c.life / time.Second), "address": c.address}
	if err := c.call(ctx, "POST", "/claims/", sent, &made); err != nil {
		return err
	}
	return c.print(made, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n\nOn the box, once, until %s (it has to reach %s):\n\n  cypherface join %s\n",
			made.Code, made.ExpiresAt.Local().Format("2006-01-02 15:04"), made.Address, made.Code)
	})
}

// key is an API key as it is listed.
type key struct {
	KeyID  string   `json:"keyId"`
	Name   string   `json:"name"`
	Last4  string   `json:"last4"`
	Status string   `json:"status"`
	Role   string   `json:"role"`
	Scopes []string `json:"scopes,omitempty"`
	SiteID string   `json:"siteId,omitempty"`
}

// keys lists, makes and revokes API keys.
func (c *client) keys(ctx context.Context, words []string) error {
	switch {
	case len(words) == 1 && words[0] == "create" && c.fleet == (c.site != ""):
		return c.createKey(ctx)
	case len(words) == 2 && words[0] == "revoke":
		var done struct {
			Success bool `json:"success"`
		}
		if err := c.call(ctx, "DELETE", "/merchant-api-key/"+words[1]+"/", nil, &done); err != nil {
			return err
		}
		return c.print(done, func(w io.Writer) { fmt.Fprintln(w, "revoked; on a box as soon as it hears of it") })
	case len(words) > 0:
		return fmt.Errorf("keys: name the site of a fleet key with --fleet --site (%w)", errUsage)
	}
	var list struct {
		Keys []key `json:"keys"`
	}
	if err := c.call(ctx, "GET", "/merchant-api-key/", nil, &list); err != nil {
		return err
	}
	return c.print(list.Keys, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tNAME\tENDS WITH\tSTATUS\tMAY\tGOOD AT")
		for _, k := range list.Keys {
			may, at := k.Role, "this central"
			if len(k.Scopes) > 0 {
				may = strings.Join(k.Scopes, ",")
			}
			if k.SiteID != "" {
				at = "boxes of site " + k.SiteID
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Name, k.Last4, k.Status, may, at)
		}
	})
}

func (c *client) createKey(ctx context.Context) error {
	sent := map[string]any{"name": c.name}
	if c.fleet {
		id, err := c.siteCalled(ctx, c.site)
		if err != nil {
			return err
		}
		sent["siteId"] = id
	}
	if c.scopes != "" {
		sent["scopes"] = strings.Split(c.scopes, ",")
	}
	var made struct {
		APIKey string `json:"apiKey"`
		KeyID  string `json:"keyId"`
		SiteID string `json:"siteId,omitempty"`
	}
	if err := c.call(ctx, "POST", "/merchant-api-key/", sent, &made); err != nil {
		return err
	}
	return c.print(made, func(w io.Writer) {
		fmt.Fprintf(w, "apiKey  %s\nkeyId   %s\n\nThe key is shown this once.\n", made.APIKey, made.KeyID)
	})
}

// siteCalled returns the id of a site by its name or id.
func (c *client) siteCalled(ctx context.Context, name string) (string, error) {
	list, err := c.sites(ctx)
	for _, s := range list {
		if s.SiteID == name || s.Name == name {
			return s.SiteID, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("there is no site %q (cypherface-central sites)", name)
	}
	return "", err
}

// policy shows or sets what holds for all boxes of the merchant.
func (c *client) policy(ctx context.Context, words []string) error {
	if len(words) > 0 || c.staleAfter%time.Hour != 0 && c.staleAfter != -1 {
		return fmt.Errorf("set the policy: --stale-after takes whole hours, such as 72h (%w)", errUsage)
	}
	var out struct {
		Policy struct {
			StaleAfterHours int `json:"staleAfterHours"`
		} `json:"policy"`
	}
	var err error
	if c.staleAfter == -1 {
		err = c.call(ctx, "GET", "/merchant/policy/", nil, &out)
	} else {
		err = c.call(ctx, "PUT", "/merchant/policy/", map[string]int{"staleAfterHours": int(c.staleAfter / time.Hour)}, &out)
	}
	if err != nil {
		return err
	}
	return c.print(out.Policy, func(w io.Writer) {
		if h := out.Policy.StaleAfterHours; h > 0 {
			fmt.Fprintf(w, "a box lets nobody pass once what it has of this central is %d hours old\n", h)
		} else {
			fmt.Fprintln(w, "no limit: whoever lost a grant passes for as long as a box is cut off")
		}
	})
}

type device struct {
	DeviceID string    `json:"deviceId"`
	SiteID   string    `json:"siteId"`
	Name     string    `json:"name"`
	Status   string    `json:"status"`
	Online   bool      `json:"online"`
	SeenAt   time.Time `json:"seenAt,omitzero"`
	Events   uint64    `json:"events"`
	Missing  uint64    `json:"missing,omitempty"`
	Revision uint64    `json:"revision"`
	Behind   uint64    `json:"behind"`

	Checkpoint *checkpoint `json:"checkpoint,omitempty"`
	Readings   []reading   `json:"readings,omitempty"`
}

type checkpoint struct {
	Epoch  uint64    `json:"epoch"`
	Events uint64    `json:"events"`
	Note   string    `json:"note"`
	Key    string    `json:"key"`
	At     time.Time `json:"at"`
	Fault  string    `json:"fault,omitempty"`
}

type reading struct {
	Name  string    `json:"name"`
	Value float64   `json:"value"`
	At    time.Time `json:"at"`
}

// journal is how the journal of a device stands with its checkpoints.
func (d *device) journal() string {
	switch {
	case d.Checkpoint == nil:
		return "no checkpoint"
	case d.Checkpoint.Fault != "":
		return "ALARM: " + d.Checkpoint.Fault
	}
	return fmt.Sprintf("signed to %d", d.Checkpoint.Events)
}

// told is what a device last said of itself.
func (d *device) told() string {
	var words []string
	for _, r := range d.Readings {
		name, door, ofDoor := strings.Cut(r.Name, "/")
		if ofDoor { // the end of an id tells doors apart
			name += "/…" + door[max(0, len(door)-4):]
		}
		words = append(words, fmt.Sprintf("%s %.4g", name, r.Value))
	}
	return strings.Join(words, ", ")
}

func (c *client) listDevices(ctx context.Context, words []string) error {
	if len(words) == 2 && words[0] == "revoke" {
		var done struct {
			Success bool `json:"success"`
		}
		if err := c.call(ctx, "DELETE", "/devices/"+words[1]+"/", nil, &done); err != nil {
			return err
		}
		return c.print(done, func(w io.Writer) { fmt.Fprintln(w, "revoked; the box matches nobody once it has heard") })
	}
	if len(words) > 0 {
		return errUsage
	}
	var list struct {
		Devices []device `json:"devices"`
	}
	if err := c.call(ctx, "GET", "/devices/", nil, &list); err != nil {
		return err
	}
	return c.print(list.Devices, func(w io.Writer) {
		fmt.Fprintln(w, "DEVICE\tNAME\tSTATUS\tCONNECTED\tSEEN\tEVENTS\tBEHIND\tJOURNAL\tREADINGS")
		for _, d := range list.Devices {
			seen := "never"
			if !d.SeenAt.IsZero() {
				seen = d.SeenAt.Local().Format("2006-01-02 15:04:05")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\t%d\t%d\t%s\t%s\n", d.DeviceID, d.Name, d.Status, d.Online, seen, d.Events, d.Behind, d.journal(), d.told())
		}
	})
}
