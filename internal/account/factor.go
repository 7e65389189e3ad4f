package account

import "github.com/cypherface/edge/store"

// What a second step is done with.
const (
	FactorTOTP     = "totp"
	FactorPasskey  = "passkey"
	FactorRecovery = "recovery"
)

// factorsOf lists with what somebody can do the second step.
func factorsOf(a *store.Account) (all []string) {
	if a.TOTP != nil && a.TOTP.Confirmed {
		all = append(all, FactorTOTP)
	}
	if len(a.Passkeys) > 0 {
		all = append(all, FactorPasskey)
	}
	if len(all) > 0 && len(a.Recovery) > 0 {
		all = append(all, FactorRecovery)
	}
	return all
}
