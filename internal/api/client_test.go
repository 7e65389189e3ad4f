package api_test

import (
	"bytes"
	"errors"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/docs/client"
	"github.com/cypherface/edge/store"
)

// keepsCrops puts a crop beside an enrolment, as a real box does.
func (b *box) keepsCrops(id string, c color.Color) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		return store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](b.now), Merchant: b.merchant, Person: store.PersonID(id), Image: jpegOf(c).data})
	})
}

// The Go client goes through every operation that it has.
func TestTheGoClient(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.faces.sees = red
	ctx := t.Context()
	must := b.must
	c := client.New(b.url+"/", "")
	token, err := c.AccessToken(ctx, string(b.merchant), b.apiKey)
	must(err)
	c.Credential = token.Token
	token, err = c.RefreshToken(ctx)
	must(err)
	c.Credential = token.Token
	must(c.Ready(ctx))
	v, err := c.Version(ctx)
	must(err)
	if v.Environment != "sandbox" {
		t.Errorf("%+v", v)
	}

	phone, none := "1815", ""
	user, err := c.Register(ctx, client.UserFields{Firstname: "Ada", Lastname: "Lovelace", Email: "ada@example.org", Phone: &phone})
	must(err)
	user, err = c.ChangeUser(ctx, user.UserID, client.UserFields{Phone: &none})
	must(err)
	if user.Phone != "" || user.Firstname != "Ada" {
		t.Errorf("%+v", user)
	}
	done, err := c.Enrol(ctx, user.UserID, "ada (1).jpg", "image/jpeg", jpegOf(red).data)
	must(err)
	b.keepsCrops(user.UserID, red)
	m, err := c.Match(ctx, user.UserID, "door.jpg", "image/jpeg", jpegOf(red).data)
	must(err)
	s, err := c.Scan(ctx, user.UserID, jpegOf(blue).data)
	must(err)
	if !m.Match || s.Match || s.FaceCount != 1 || done.Faces != 1 {
		t.Errorf("match %+v, scan %+v, enrolled %+v", m, s, done)
	}
	d, err := c.Detect(ctx, "image/png", pngOf(red).data)
	must(err)
	i, err := c.Identify(ctx, "image/jpeg", jpegOf(red).data)
	must(err)
	seen, err := c.IdentifyCamera(ctx)
	must(err)
	if d.FaceCount != 1 || d.Faces[0].Confidence != 98.77 || i.UserID != user.UserID || seen.UserID != user.UserID {
		t.Errorf("detect %+v, identify %+v, camera %+v", d, i, seen)
	}

	for _, check := range []bool{true, false} {
		session, err := c.StartLiveness(ctx, user.UserID, "")
		must(err)
		for n := range 3 {
			_, err := c.UploadFrame(ctx, session.SessionID, "image/jpeg", frame(red, n).data)
			must(err)
		}
		_, err = c.Capture(ctx, "frame", session.SessionID)
		must(err)
		if check {
			l, err := c.CheckLiveness(ctx, session.SessionID)
			must(err)
			if !l.FaceMatch || l.Response.Status != "MATCHED" {
				t.Errorf("%+v", l)
			}
		} else {
			l, err := c.MatchLiveness(ctx, user.UserID, session.SessionID)
			must(err)
			if !l.Match {
				t.Errorf("%+v", l)
			}
		}
		at, err := c.LivenessSession(ctx, session.SessionID)
		must(err)
		if at.Status != "MATCHED" || at.Frames != 4 {
			t.Errorf("%+v", at)
		}
	}

	list, err := c.Verifications(ctx, client.VerificationQuery{UserID: user.UserID, Limit: 2})
	must(err)
	users, err := c.Users(ctx, client.UserQuery{Search: "lovelace", Limit: 10})
	must(err)
	image, err := c.Image(ctx, user.UserID)
	must(err)
	export, err := c.ExportUser(ctx, user.UserID)
	must(err)
	zipped, err := c.ExportUserZip(ctx, user.UserID)
	must(err)
	if !bytes.HasPrefix(zipped, []byte("PK")) {
		t.Errorf("ZIP %.10q", zipped)
	}
	if len(list.Verifications) != 2 || len(users.Users) != 1 || string(image) != string(jpegOf(red).data) || !strings.Contains(string(export), user.UserID) {
		t.Errorf("%d verifications, %d users, image of %d bytes", len(list.Verifications), len(users.Users), len(image))
	}
	var e *client.Error
	if _, err := c.CameraSnapshot(ctx, ""); !errors.As(err, &e) || e.Status != 404 {
		t.Errorf("a camera that is not there: %v", err)
	}
	must(c.DeleteImage(ctx, user.UserID))
	_, err = c.EraseUser(ctx, user.UserID)
	must(err)
	_, err = c.User(ctx, user.UserID)
	if !errors.As(err, &e) || e.Status != 404 || e.Code != "NOT_FOUND" || e.RequestID == "" {
		t.Errorf("got %v", err)
	}

	owner := client.New(b.url, b.login())
	key, err := owner.CreateKey(ctx, client.KeyRequest{Name: "kiosk", Scopes: []string{"match"}})
	must(err)
	_, err = owner.CreateKey(ctx, client.KeyRequest{Rotate: key.KeyID})
	must(err)
	must(owner.RevokeKey(ctx, key.KeyID))
	keys, err := owner.Keys(ctx)
	must(err)
	if len(keys) != 4 || keys[2].Status != "revoked" {
		t.Errorf("keys %+v", keys)
	}
	b.goClientAccounts(t, owner)
}

// goClientAccounts goes through what is about accounts.
func (b *box) goClientAccounts(t *testing.T, owner *client.Client) {
	t.Helper()
	ctx := t.Context()
	must := b.must
	_, token, err := owner.Invite(ctx, "grace@example.org", "operator", true)
	must(err)
	other, _, err := owner.Invite(ctx, "bea@example.org", "auditor", false)
	must(err)
	must(owner.RevokeInvitation(ctx, other.InvitationID))
	c := client.New(b.url, "")
	must(c.AcceptInvitation(ctx, token, "Grace", "Hopper", password))
	in, due, err := c.Login(ctx, "grace@example.org", password)
	must(err)
	c.Credential = in.Token
	secret, _, err := c.SetupTOTP(ctx, password)
	must(err)
	added, err := c.ConfirmTOTP(ctx, b.totp(secret))
	must(err)
	me, err := c.ChangeMe(ctx, map[string]string{"phone": "70"})
	must(err)
	if due != nil || len(added.RecoveryCodes) != 10 || me.Phone != "70" || !me.SecondFactor {
		t.Errorf("%+v, %+v, %+v", due, added, me)
	}
	_, due, err = c.Login(ctx, "Grace@example.org", password)
	must(err)
	if due == nil {
		t.Fatal("no second step")
	}
	in, err = c.LoginRecovery(ctx, due.Ticket, added.RecoveryCodes[0])
	must(err)
	again, err := c.RefreshLogin(ctx, in.RefreshToken)
	must(err)
	c.Credential = again.Token
	must(c.ChangePassword(ctx, password, another))
	must(c.ChangeEmail(ctx, "hopper@example.org", another))
	moved, err := c.ConfirmEmail(ctx, b.newAddressCode("hopper@example.org"))
	must(err)
	if moved.Email != "hopper@example.org" {
		t.Errorf("moved to %+v", moved)
	}
	f, err := c.Factors(ctx)
	must(err)
	if !f.TOTP || f.RecoveryCodesLeft != 9 {
		t.Errorf("%+v", f)
	}
	must(c.RemoveFactor(ctx, another, "totp"))
	must(c.Logout(ctx))
	if _, err := c.Me(ctx); err == nil {
		t.Error("signed out, and still in")
	}
	all, err := owner.Accounts(ctx)
	must(err)
	changed, err := owner.ChangeAccount(ctx, in.User.AccountID, "auditor", "")
	must(err)
	if len(all) != 1 || changed.Role != "auditor" {
		t.Errorf("%+v, %+v", all, changed)
	}
	must(owner.RemoveAccount(ctx, in.User.AccountID))
	var e *client.Error
	if err := c.VerifyEmail(ctx, "x@example.org", "123456"); !errors.As(err, &e) || e.Status != 422 {
		t.Errorf("got %v", err)
	}
}

// The JavaScript client goes the same way, in Node.
func TestTheJavaScriptClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	b := newBox(t, store.Sandbox)
	b.faces.sees = red
	dir := t.TempDir()
	for name, data := range map[string][]byte{"red.jpg": jpegOf(red).data, "blue.jpg": jpegOf(blue).data, "f0.jpg": frame(red, 0).data, "f1.jpg": frame(red, 1).data, "f2.jpg": frame(red, 2).data,
		"people.zip": zipOf("people.csv", "firstname,lastname,email,image\nZoe,Z,zoe@example.org,zoe.jpg\nYan,Y,no address,zoe.jpg\n", "zoe.jpg", jpegOf(blue).data)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	module, err := filepath.Abs("../../docs/client/cypherface.js")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	// As .mjs it is a module without a package.json beside it.
	if err := os.WriteFile(filepath.Join(dir, "cypherface.mjs"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	b.person("ada@login.example", store.RoleOwner)
	cmd := exec.Command(node, "client.mjs", b.url, string(b.merchant), b.apiKey, b.login(), "ada@login.example", password)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "all is well") {
		t.Errorf("%v\n%s", err, out)
	}
}
