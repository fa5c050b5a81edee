// The user's guide in English. It keeps the chapters of `guide-ja.tsx`.

import { Link } from "wouter";
import { Picture } from "./guide-picture";

export function GuideEn() {
  return (
    <>
      <p>For whoever is here for the first time. From top to bottom it takes about ten minutes: a machine made, entered and tidied up.</p>
      <h2>1. Your first machine</h2>
      <ol>
        <li>
          Open <Link href="/instances/new">New instance</Link>. Image, type and network are chosen already.
        </li>
        <li>“What would happen”, at the right, shows the host and the effect on your quota. Nothing is made yet.</li>
        <li>“Create it” leads to the machine's page, where its state becomes “Running”. There is no need to reload.</li>
      </ol>
      <Picture name="launch" shows="“New instance”: choose at the left, see at the right what would happen, then create it." />
      <h2>2. Entering it</h2>
      <ul>
        <li>
          From where the network reaches, by SSH: what to type stands on its page under “To get in”.
        </li>
        <li>From elsewhere, by the tabs “Console” (text) and “Screen” (picture) of its page.</li>
        <li>
          Without a key, make one under <Link href="/keys">SSH keys</Link>. The private key is shown once.
        </li>
      </ul>
      <Picture name="instance" shows="A running machine. Its tabs lead to metrics, console, screen, timeline and why it is where it is." />
      <h2>3. Keeping data</h2>
      <ol>
        <li>
          Make a <Link href="/volumes">volume</Link> and choose a machine by “Attach”. The machine sees it as a new disk.
        </li>
        <li>“New snapshot” on the volume's page keeps what it holds at that moment.</li>
        <li>To go back, detach it and press “Roll back to it”.</li>
        <li>
          “Back up” copies what it holds to another place. It is restored from <Link href="/backups">Backups</Link> also when the volume is gone.
        </li>
        <li>To keep a whole machine, press “Make an image” on its page. Any number of machines with the same content can be made of it.</li>
      </ol>
      <Picture name="volume" shows="A volume's page: take snapshots and backups, go back to one, restore another." />
      <h2>4. Letting traffic in</h2>
      <p>
        What is in no <Link href="/security-groups">security group</Link> does not reach a machine. For a web server press “+ HTTP” and “+ HTTPS”. Saved, a
        rule takes effect at once on every machine that uses the group.
      </p>
      <Picture name="rules" shows="A security group: each row lets something in; beneath are the machines it touches." />
      <h2>5. Watching it</h2>
      <ul>
        <li>The tab “Metrics” is the last hour of processor, memory, disk and network. Its numbers are in a table beneath the charts too.</li>
        <li>A guest that dies is started again the way you chose: “Change settings” on its page, “When its guest dies”.</li>
      </ul>
      <Picture name="metrics" shows="The tab “Metrics”: charts of processor, memory, disk and network, and a table by disk and by interface." />
      <h2>6. When something is wrong</h2>
      <ul>
        <li>A red frame says the cause and what to do. Try that first.</li>
        <li>The tab “Timeline” is everything that happened to a machine; “Why here?” is how its place was chosen.</li>
        <li>
          <Link href="/jobs">Jobs</Link> shows what is being waited for. What failed is tried again by itself.
        </li>
        <li>
          A volume that stays “Detaching” is to be unmounted inside the guest. Where that cannot be, there is “Detach by force”; what it costs is
          said before it is done.
        </li>
        <li>
          Where SSH does not get in, there are “Console” and “Screen”. “Paste” on the screen types the text key by key: choose the keyboard layout
          that the machine is set to.
        </li>
        <li>“Load what is there now” means that somebody else changed the same thing while you were editing: load it, and change it again.</li>
        <li>When “Live” at the top becomes “Reconnecting…”, the page mends that by itself. What you did is not lost.</li>
      </ul>
      <h2>7. Tidying up</h2>
      <p>
        “Delete” on a machine's page first shows the volumes it would detach and the addresses it would release. A volume's data stays until the
        volume is deleted.
      </p>
      <h2>8. For operators</h2>
      <ul>
        <li>
          To work on a <Link href="/hosts">host</Link>, drain it (or move one machine from its page): how long it takes is shown first; running machines move without stopping; what cannot be moved stays, with its
          reason.
        </li>
        <li>
          A host that will not come back is declared lost at the bottom of its page. Cut its power first; what is lost and what is freed is shown
          before anything is done.
        </li>
        <li>
          <Link href="/naming">Naming services</Link> tells which of them serves which networks, and lets one give its networks to others.
        </li>
        <li>
          “Load now” of hosts and storage is how busy the computer itself is; “promised” is what machines and volumes were promised. Its name leads
          to charts of the last hour.
        </li>
        <li>
          <Link href="/audit">Audit</Link> looks for differences between the records and the world. Nothing found is as it should be.
        </li>
        <li>
          <Link href="/accounts">Accounts and users</Link> has the teams, their quotas and the people who sign in.
        </li>
      </ul>
      <Picture name="drain" shows="Draining a host: which machine goes where, and why one stays, before anything is done." />
    </>
  );
}
