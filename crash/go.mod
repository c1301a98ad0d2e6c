module github.com/ota-agent/ota-agent/crash

go 1.26.0

require github.com/ota-agent/ota-agent v0.0.0

require (
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/crypto v0.58.0 // indirect

replace github.com/ota-agent/ota-agent => ../
