package api

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/web"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed landing.html
var landingSource string

//go:embed account.html
var accountSource string

//go:embed account.js
var accountScript string

var accountTemplate = template.Must(template.New("account").Parse(accountSource))

var landingPage = template.Must(template.New("landing").Parse(landingSource))

// contract is GET /openapi.yaml.
func (a *API) contract(c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	_, err := c.w.Write(openAPI)
	return err
}

// ready is GET /readyz: 200 once the box can answer every operation, with what
// the operator should know all the same.
func (a *API) ready(c *call) error {
	s := a.Config.Status()
	if !s.Ready {
		return web.Fail(http.StatusServiceUnavailable, "not ready: %s", s.Reason)
	}
	return c.reply(http.StatusOK, struct {
		Status   string   `json:"status"`
		Warnings []string `json:"warnings,omitempty"`
	}{"ready", s.warnings()})
}

func (s *Status) warnings() (all []string) {
	if s.Migration != "" {
		all = append(all, s.Migration)
	}
	if s.PAD.Fault != "" {
		all = append(all, "pack pad: "+s.PAD.Fault)
	}
	if s.Exposed != "" {
		all = append(all, "data at rest: "+s.Exposed)
	}
	for _, c := range s.Cameras {
		if c.Trouble == "" {
			continue
		}
		words := c.Trouble
		if p := c.Health.Picture; p == "" || p == camera.PictureGood {
			words = "it gives no picture" // why is for the operator, not for everybody
		}
		name := "the box's camera"
		if c.Door != "" { // which one the operator sees
			name = "a door's camera"
		}
		if c.Alarm {
			name = "ALARM: " + name
		}
		all = append(all, name+": "+words)
	}
	return append(all, s.Storage...)
}

// version is GET /version: what runs here.
func (a *API) version(c *call) error {
	return c.reply(http.StatusOK, struct {
		Success     bool   `json:"success"`
		Version     string `json:"version"`
		Environment string `json:"environment"`
		Pack        string `json:"pack"`
	}{true, a.Version, string(a.info.Environment), a.Config.Status().Pack})
}

// landing is GET /: which box this is, how it is, and the first steps. It needs
// no credential and so shows nothing that would take one, but for the names of doors:
// who stands before one has to find it.
func (a *API) landing(c *call) error {
	return writeLanding(c.w, a.Config.Status(), string(a.info.Environment), a.Version, a.base(c.r))
}

func writeLanding(w http.ResponseWriter, s Status, environment, version, url string) error {
	nonce := rand.Text()
	var b bytes.Buffer
	err := landingPage.Execute(&b, struct {
		Status
		Environment, Version, URL, Nonce string
	}{s, environment, version, url, nonce})
	if err != nil {
		return err
	}
	return writePage(w, b.Bytes(), nonce)
}

// accountPage is GET /account/: where somebody signs in with a browser, and sees to his
// second factors. What it shows it asks of the API as any client does. Its script stands in
// the page, which lets no other run, and nothing is loaded from elsewhere.
func (a *API) accountPage(c *call) error {
	nonce := rand.Text()
	var b bytes.Buffer
	err := accountTemplate.Execute(&b, struct {
		Environment, URL, Nonce string
		Central                 bool
		Script                  template.JS
	}{string(a.info.Environment), a.Accounts.BaseURL, nonce, a.Config.Status().Central, template.JS(accountScript)})
	if err != nil {
		return err
	}
	return writePage(c.w, b.Bytes(), nonce, "script-src 'nonce-"+nonce+"'", "connect-src 'self'", "img-src data:")
}
