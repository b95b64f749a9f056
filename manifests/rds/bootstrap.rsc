# Prepares a MikroTik ROSE Data Server for rds-csi: group, user, key and folder. See docs/rds-setup.md.
#
# Fill in the settings, upload the file, then, as an administrator on the RDS:
#   /import file-name=bootstrap.rsc
# It checks everything before it changes anything, and may be run again: after a mistake, for another
# address, for another key. It does not touch /ip/service, /ip/ssh, other users, or any volume.
{
# ---- Settings ----------------------------------------------------------------------------------------
# The line of the driver's public key file: ssh-keygen -t ed25519 -N '' -C rds-csi -f rds-csi-key
:local csiKey ""
# Where the controller's connections come from: addresses or prefixes, joined by commas.
:local csiAddress ""
# The slot of the pool, and the folder in it (--pool and --directory of the driver).
:local csiPool "storage-pool"
:local csiDirectory "csi"
# The user (--rds-user of the driver) and the group, which nobody else may be in.
:local csiUser "csi"
:local csiGroup "csi"
# ---- End of the settings -----------------------------------------------------------------------------

# Every check first: an error below this line and above "Changes" leaves the device as it was.
:local fail "rds-csi, nothing was changed: "

:local version [:tostr [/system/resource/get version]]
:local dot [:find $version "."]
:if ([:typeof $dot] != "num") do={ :error ($fail . "the version " . $version . " cannot be read") }
:local major [:tonum [:pick $version 0 $dot]]
:local rest [:pick $version ($dot + 1) [:len $version]]
:local minor ""
:local reading true
:for at from=0 to=([:len $rest] - 1) do={
  :local digit [:pick $rest $at ($at + 1)]
  :if ([:typeof [:find "0123456789" $digit]] != "num") do={ :set reading false }
  :if ($reading) do={ :set minor ($minor . $digit) }
}
:set minor [:tonum $minor]
:if (($major < 7) || (($major = 7) && ($minor < 21))) do={
  :error ($fail . "RouterOS " . $version . " is too old, 7.21 or newer is needed")
}

:if ($csiKey = "") do={ :error ($fail . "csiKey is empty: put the public key line into the settings") }
:if ($csiKey ~ "PRIVATE KEY") do={ :error ($fail . "csiKey is a private key: give the .pub line, and make a new key pair") }
:if (!($csiKey ~ "^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( |\$)")) do={
  :error ($fail . "csiKey is not a complete Ed25519 public key (ssh-ed25519 AAAA... comment)")
}

:if ($csiAddress = "") do={ :error ($fail . "csiAddress is empty: name the addresses of the controller") }
:foreach part in=[:toarray $csiAddress] do={
  :local prefix [:tostr $part]
  :local slash [:find $prefix "/"]
  :local host $prefix
  :local bits ""
  :if ([:typeof $slash] = "num") do={
    :set host [:pick $prefix 0 $slash]
    :set bits [:pick $prefix ($slash + 1) [:len $prefix]]
  }
  :local most 0
  :if ([:typeof [:toip $host]] = "ip") do={ :set most 32 }
  :if (($most = 0) && ([:typeof [:toip6 $host]] = "ip6")) do={ :set most 128 }
  :if ([:typeof $slash] != "num") do={ :set bits [:tostr $most] }
  :if (($most = 0) || (!($bits ~ "^[0-9]+\$"))) do={
    :error ($fail . "csiAddress: " . $prefix . " is neither an address nor a prefix")
  }
  :if (([:tonum $bits] < 1) || ([:tonum $bits] > $most)) do={
    :error ($fail . "csiAddress: " . $prefix . " must have 1 to " . $most . " bits, and not be everything")
  }
}

:local namePattern "^[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]\$"
:if (!($csiUser ~ $namePattern)) do={ :error ($fail . "csiUser: letters, digits, '.', '_' and '-', at least two") }
:if (!($csiGroup ~ $namePattern)) do={ :error ($fail . "csiGroup: letters, digits, '.', '_' and '-', at least two") }
:if (($csiGroup = "full") || ($csiGroup = "write") || ($csiGroup = "read")) do={
  :error ($fail . "csiGroup " . $csiGroup . " is a group of RouterOS: choose another name")
}
:foreach row in=[/user/print detail as-value] do={
  :if ((($row->"name") = $csiUser) && (($row->"group") != $csiGroup)) do={
    :error ($fail . "user " . $csiUser . " exists in group " . ($row->"group") . ": choose another csiUser")
  }
  :if ((($row->"group") = $csiGroup) && (($row->"name") != $csiUser)) do={
    :error ($fail . "user " . ($row->"name") . " is in group " . $csiGroup . ": choose another csiGroup")
  }
}

:local pools [/disk/print detail as-value where slot=$csiPool]
:if ([:len $pools] != 1) do={ :error ($fail . "there is no pool " . $csiPool . " (/disk/print shows the slots)") }
:local mounted [:tostr ($pools->0->"mounted")]
:if (($mounted != "true") && ($mounted != "yes")) do={ :error ($fail . "pool " . $csiPool . " is not mounted") }
:local mountPoint [:tostr ($pools->0->"mount-point")]
:if ($mountPoint = "") do={ :error ($fail . "pool " . $csiPool . " has no mount point") }
:if ([:pick $mountPoint 0 1] = "/") do={ :set mountPoint [:pick $mountPoint 1 [:len $mountPoint]] }
:if (!($csiDirectory ~ "^[A-Za-z0-9_-][A-Za-z0-9._-]*\$")) do={
  :error ($fail . "csiDirectory: one name of letters, digits, '.', '_' and '-'")
}
:local folder ($mountPoint . "/" . $csiDirectory)
:local found [/file/print detail as-value where name=$folder]
:if (([:len $found] > 0) && (($found->0->"type") != "directory")) do={
  :error ($fail . $folder . " exists and is not a folder")
}

# ---- Changes -----------------------------------------------------------------------------------------
# The group. The rights that it must not have are named: in newer versions "set" adds to what is there.
:if ([:len [/user/group/find where name=$csiGroup]] = 0) do={
  /user/group/add name=$csiGroup policy=ssh,read,write,test,!local,!telnet,!ftp,!reboot,!policy,!winbox,!password,!web,!sniff,!sensitive,!api,!romon,!rest-api
  :put ("group " . $csiGroup . ": added")
}
:for try from=1 to=2 do={
  :local wrong ""
  :local have ","
  :foreach part in=[:toarray [/user/group/get [find where name=$csiGroup] policy]] do={
    :local right [:tostr $part]
    :set have ($have . $right . ",")
    :local allowed [:find ",ssh,read,write,test," ("," . $right . ",")]
    :if (([:typeof $allowed] != "num") && ([:pick $right 0 1] != "!")) do={ :set wrong ($wrong . " +" . $right) }
  }
  :foreach right in={"ssh";"read";"write";"test"} do={
    :if ([:typeof [:find $have ("," . $right . ",")]] != "num") do={ :set wrong ($wrong . " -" . $right) }
  }
  :if (($wrong != "") && ($try = 2)) do={
    :error ("rds-csi: the rights of group " . $csiGroup . " are not as they must be, correct them by hand:" . $wrong)
  }
  :if ($wrong != "") do={
    /user/group/set [find where name=$csiGroup] policy=ssh,read,write,test,!local,!telnet,!ftp,!reboot,!policy,!winbox,!password,!web,!sniff,!sensitive,!api,!romon,!rest-api
    :put ("group " . $csiGroup . ": rights corrected, they were wrong:" . $wrong)
  }
}

# The user. RouterOS wants a password; it is random, shown to nobody, and the key replaces it.
:if ([:len [/user/find where name=$csiUser]] = 0) do={
  /user/add name=$csiUser group=$csiGroup address=$csiAddress password=[:rndstr length=40 from="ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"] comment="rds-csi"
  :put ("user " . $csiUser . ": added, may log in from " . $csiAddress)
} else={
  :local now ","
  :foreach part in=[:toarray [/user/get [find where name=$csiUser] address]] do={
    :set now ($now . [:tostr $part] . ",")
  }
  :local same ([:len $now] = ([:len $csiAddress] + 2))
  :foreach part in=[:toarray $csiAddress] do={
    :if ([:typeof [:find $now ("," . [:tostr $part] . ",")]] != "num") do={ :set same false }
  }
  :if (!$same) do={
    /user/set [find where name=$csiUser] address=$csiAddress
    :put ("user " . $csiUser . ": may now log in from " . $csiAddress)
  }
  :if ([/user/get [find where name=$csiUser] disabled] = true) do={
    :put ("user " . $csiUser . " is disabled: /user/set " . $csiUser . " disabled=no")
  }
}

# The key. RouterOS shows no key, but keeps the comment behind it: the end of the key goes there, and tells whether
# the key is known. Other keys of the user stay, for a change of keys without an outage.
:local body [:pick $csiKey 12 80]
:local keyName ("rds-csi-" . [:pick $body 48 68])
:local known false
:local others 0
:foreach row in=[/user/ssh-keys/print detail as-value where user=$csiUser] do={
  :if (($row->"info") = $keyName) do={ :set known true } else={ :set others ($others + 1) }
}
:if (!$known) do={
  /user/ssh-keys/add user=$csiUser key=("ssh-ed25519 " . $body . " " . $keyName)
  :put ("key " . $keyName . ": added")
}

# The folder of the volumes.
:if ([:len [/file/find where name=$folder]] = 0) do={
  /file/add name=$folder type=directory
  :put ("folder " . $folder . ": added")
}

# ---- What now ----------------------------------------------------------------------------------------
:put ""
:put ("rds-csi: user " . $csiUser . " is ready on RouterOS " . $version)
:if ($others > 0) do={
  :put ("user " . $csiUser . " has " . $others . " other key(s): remove those that are not in use (/user/ssh-keys/print)")
}
# RouterOS shows no fingerprint of its host key, and exporting the key writes its private half too: that is for a person at
# the console.
:put ("host key: " . ([/ip/ssh/print as-value]->"host-key-type") . ", to be read at the console (docs/rds-setup.md, the host key)")
:put ("driver: --rds-user " . $csiUser . " --pool " . $csiPool . " --directory " . $csiDirectory)
:put "then: try the login with the key, restrict /ip/service ssh if you want to (docs/rds-setup.md)"
:put "and remove this file: /file/remove bootstrap.rsc"
}

# ---- By hand, if you want it -------------------------------------------------------------------------
# These concern every user of the device, and a mistake locks you out: keep a session open, and try a login
# in a second one. The first one replaces the host key if it was another type: read the new key at the console then.
#
#   /ip/ssh/set strong-crypto=yes host-key-type=ed25519
#   /ip/service/set ssh address=192.0.2.0/24,198.51.100.7/32
