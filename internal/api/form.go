package api

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/cypherface/edge/internal/web"
)

//go:embed form.html
var formSource string

var formPage = template.Must(template.New("form").Parse(formSource))

// formView is what a page of the links in mails shows.
type formView struct {
	Title, Text   string
	Action, Token string // empty: there is nothing to send
	Names         bool   // asks for a name
	Password      bool   // asks for a password
	Button        string
	Nonce         string
}

// verifyPage is GET /email/verify/. It changes nothing: what reads mails ahead of
// people opens links, and presses no buttons.
func (a *API) verifyPage(c *call) error {
	return c.form(http.StatusOK, formView{Title: "Verify your e-mail address", Action: "/email/verify/", Button: "Verify"})
}

// resetPage is GET /password/reset/.
func (a *API) resetPage(c *call) error {
	return c.form(http.StatusOK, formView{Title: "Set a new password", Action: "/password/reset/", Password: true, Button: "Set password"})
}

// invitationPage is GET /invitation/accept/.
func (a *API) invitationPage(c *call) error {
	return c.form(http.StatusOK, formView{Title: "Make your account", Action: "/invitation/accept/", Names: true, Password: true, Button: "Make account"})
}

// form answers with a page.
func (c *call) form(status int, v formView) error {
	if v.Action != "" {
		v.Token = web.Clip(c.r.URL.Query().Get("token"), 100)
	}
	v.Nonce = rand.Text()
	var b bytes.Buffer
	if err := formPage.Execute(&b, v); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+v.Nonce+"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	c.w.WriteHeader(status)
	_, err := c.w.Write(b.Bytes())
	return err
}

// maxForm bounds what a page sends.
const maxForm = 4 << 10

// fields reads a body: JSON into v, or what one of the pages sends into its fields.
func (c *call) fields(v any, of map[string]*string) (form bool, err error) {
	if web.MediaType(c.r.Header.Get("Content-Type")) != "application/x-www-form-urlencoded" {
		return false, web.Decode(c.r, v, 0)
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		return true, web.Fail(http.StatusBadRequest, "the form is not well formed").Because(err)
	}
	for name, into := range of {
		*into = c.r.PostForm.Get(name)
	}
	return true, nil
}

// answer says how it went, to a page as a page.
func (c *call) answer(form bool, message string, err error) error {
	if err != nil {
		err = problem(c.accountProblem(err))
	}
	e, known := err.(*web.Error)
	switch {
	case !form && err != nil:
		return err
	case !form:
		return c.done(message)
	case err == nil:
		return c.form(http.StatusOK, formView{Title: "Done", Text: message})
	case !known:
		return err
	}
	text := e.Message
	for _, d := range e.Details {
		text += "; " + d.Field + " " + d.Issue
	}
	return c.form(e.Status, formView{Title: "That did not work", Text: text + ". Go back to try again."})
}
